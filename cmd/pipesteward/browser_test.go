package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// axe checks the accessibility of a page: https://github.com/dequelabs/axe-core.
//
//go:embed testdata/axe.min.js
var axe string

// screenshots is where the browser's pictures are kept; git ignores it.
const screenshots = "../../bin/page"

// browser is a tab of a headless Chromium, used as a person uses it. What its console says is
// a failure: a script's error, or something that the content security policy refused.
type browser struct {
	*testing.T
	tab  context.Context
	base string

	mu       sync.Mutex
	problems []string
}

// browse opens a browser for the program's admin address.
func (p *program) browse() *browser {
	p.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.WindowSize(1280, 900))
	allocator, closeAll := chromedp.NewExecAllocator(context.WithoutCancel(p.Context()), options...)
	ctx, closeTab := chromedp.NewContext(allocator)
	b := &browser{T: p.T, tab: ctx, base: p.admin}
	p.Cleanup(func() {
		closeTab()
		closeAll()
		for _, problem := range b.problems {
			b.Errorf("the browser's console: %s", problem)
		}
	})
	err := chromedp.Listen(ctx, func(happened any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := happened.(type) {
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork { // refusals are shown on the page
				b.problems = append(b.problems, e.Entry.Text+" "+e.Entry.URL)
			}
		case *runtime.EventExceptionThrown:
			b.problems = append(b.problems, e.ExceptionDetails.Text+" "+e.ExceptionDetails.URL)
		}
	})
	if err == nil {
		_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	}
	if err == nil {
		_, err = chromedp.Call(ctx, runtime.Enable, cdp.Empty{})
	}
	if err != nil {
		p.Fatalf("the tests of the page need Chromium (Debian: apt-get install chromium): %v", err)
	}
	return b
}

// do carries out actions.
func (b *browser) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.tab, actions...); err != nil {
		b.Fatalf("%s: %v\n%s", what, err, b.text())
	}
}

// text returns what the page says.
func (b *browser) text() string {
	text, err := chromedp.Run(b.tab, chromedp.Evaluate[string]("document.body?.innerText ?? ''"))
	if err != nil {
		return err.Error()
	}
	return text
}

// open opens a path of the admin address.
func (b *browser) open(path string) {
	b.Helper()
	b.do("open "+path, chromedp.Navigate(b.base+path), chromedp.WaitVisible(chromedp.CSS("footer")))
}

// says waits until the page says all of the texts.
func (b *browser) says(texts ...string) {
	b.Helper()
	for _, text := range texts {
		await.Until(b, "the page says "+text, func() bool { return strings.Contains(b.text(), text) }, b.text)
	}
}

// at waits until a page is loaded whose address has a part.
func (b *browser) at(part string) {
	b.Helper()
	await.Until(b, "the page is "+part, func() bool {
		return strings.Contains(evaluate[string](b, `document.readyState === "complete" ? location.href : ""`), part)
	}, b.text)
}

// saysNot checks that the page does not have a text.
func (b *browser) saysNot(text string) {
	b.Helper()
	if shown := b.text(); strings.Contains(shown, text) {
		b.Errorf("the page says %q:\n%s", text, shown)
	}
}

// click clicks the first element that a selector finds, again if what is live was replaced
// before.
func (b *browser) click(selector string) {
	b.Helper()
	await.Until(b, "click "+selector, func() bool { return chromedp.Do(b.tab, chromedp.Click(chromedp.CSS(selector))) == nil }, b.text)
}

// fill replaces what is in a field.
func (b *browser) fill(selector, text string) {
	b.Helper()
	b.do("fill "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
	evaluate[bool](b, fmt.Sprintf("document.querySelector(%q).value = ''; true", selector))
	b.do("fill "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// press presses keys, wherever the focus is.
func (b *browser) press(keys string) {
	b.Helper()
	b.do("press "+keys, chromedp.KeyEvent(keys))
}

// call sends a command to the browser.
func call[P any](b *browser, command cdp.Command[P, cdp.Empty], parameters P) {
	b.Helper()
	if _, err := chromedp.Call(b.tab, command, parameters); err != nil {
		b.Fatal(err)
	}
}

// evaluate returns what a script gives, which may be a promise.
func evaluate[T any](b *browser, script string) T {
	b.Helper()
	result, err := chromedp.Run(b.tab, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatal(err)
	}
	return result
}

// key presses one key that the page may take for itself: unlike press, it types no character
// then.
func (b *browser) key(key string) {
	b.Helper()
	call(b, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: key, Text: key})
	call(b, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyUp, Key: key})
}

// shows sets the width of the screen and whether the person likes it dark, keeps a picture of
// the page, and checks its accessibility, and that nothing is wider than the screen.
func (b *browser) shows(name string, width int64, scheme string) {
	b.Helper()
	b.do("set the width", chromedp.EmulateViewport(width, 900))
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	found := evaluate[string](b, axe+`; axe.run().then(r => r.violations.map(v => v.id + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).join("\n")).join("\n"))`)
	if found != "" {
		b.Errorf("%s, %d px, %s: axe finds\n%s", name, width, scheme, found)
	}
	if wide := evaluate[int64](b, "document.documentElement.scrollWidth"); wide > width {
		b.Errorf("%s is %d px wide on a screen of %d px", name, wide, width)
	}
	picture, err := chromedp.Run(b.tab, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.MkdirAll(screenshots, 0o750)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(screenshots, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), picture, 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
}
