package main

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// translated names a section whose translations are true again.
var translated = flag.String("translated", "", "write the digest of this section, like README.md#try-it, into its translations")

// part is a section of a document: a heading of the first or second level, and what follows
// up to the next one.
type part struct{ heading, text string }

// parts returns the sections of a document, without its table of contents.
func parts(text string) (all []part) {
	text = regexp.MustCompile(`(?m)^ *- \[[^\n]*\]\(#[^\n]*\)\n`).ReplaceAllString(text, "")
	headings := regexp.MustCompile(`(?m)^##? (.*)$`).FindAllStringSubmatchIndex(withoutCode(text), -1)
	for i, at := range headings {
		end := len(text)
		if i+1 < len(headings) {
			end = headings[i+1][0]
		}
		all = append(all, part{text[at[2]:at[3]], text[at[0]:end]})
	}
	return all
}

// digest returns what changes with what a section says, and not with where its lines are
// broken.
func (p part) digest() string {
	sum := sha256.Sum256([]byte(strings.Join(strings.Fields(p.text), " ")))
	return hex.EncodeToString(sum[:4])
}

// code returns the blocks of code of a section without their comments, and what it has in
// backticks: each once, sorted.
func (p part) code() (blocksOfCode, inline []string) {
	comment := regexp.MustCompile(`(?m)(^|[ \t]+)# .*$`)
	for _, b := range blocks(p.text) {
		blocksOfCode = append(blocksOfCode, comment.ReplaceAllString(b.text, ""))
	}
	for _, match := range quoted.FindAllStringSubmatch(withoutCode(p.text), -1) {
		inline = append(inline, match[1])
	}
	slices.Sort(inline)
	return blocksOfCode, slices.Compact(inline)
}

// translates matches the comment below a heading of a translation: the section that it
// translates and the digest which that section had then, or neither for a section that only
// the translation has.
var translates = regexp.MustCompile(`<!-- Translates (?:nothing|(\S+\.md#\S+), digest ([0-9a-f]*)) -->`)

// TestTranslations: each section of a page in Chinese says what it translates as it is now,
// and has the same code; and of each section of the first and second level of the page in
// English there is either a translation or a link to it.
func TestTranslations(t *testing.T) {
	t.Parallel()
	originals, translatable := map[string]part{}, map[string]part{} // by file#anchor
	var pages []document
	for _, d := range documents(t) {
		if strings.Contains(d.name, ".zh-CN.") {
			pages = append(pages, d)
		}
		for _, p := range sections(d.text) { // the third level may be translated by itself
			translatable[d.name+"#"+anchorOf(p.heading)] = p
		}
		for _, p := range parts(d.text) {
			originals[d.name+"#"+anchorOf(p.heading)] = p
		}
	}
	maps.Copy(translatable, originals)
	if len(pages) == 0 {
		t.Fatal("no translations are found")
	}
	found := false
	for _, page := range pages {
		there := map[string]bool{}
		text := page.text
		for _, p := range parts(page.text) {
			match := translates.FindStringSubmatch(p.text)
			if match == nil {
				t.Errorf("%s § %s does not say what it translates: write below the heading <!-- Translates FILE.md#ANCHOR, digest 0 -->, or <!-- Translates nothing -->", page.name, p.heading)
				continue
			}
			name, digest := match[1], match[2]
			if name == "" {
				continue
			}
			there[name] = true
			original, is := translatable[name]
			if !is {
				t.Errorf("%s § %s translates %s, which there is not", page.name, p.heading, name)
				continue
			}
			if name == *translated {
				found = true
				text = strings.Replace(text, match[0], strings.Replace(match[0], ", digest "+digest, ", digest "+original.digest(), 1), 1)
			} else if digest != original.digest() {
				file, _, _ := strings.Cut(name, "#")
				t.Errorf("%s § %s changed: translate it again in %s § %s, then run `make translated SECTION=%s`", file, original.heading, page.name, p.heading, name)
			}
			code, inline := p.code()
			wantCode, wantInline := original.code()
			if !slices.Equal(code, wantCode) {
				t.Errorf("%s § %s has not the blocks of code of %s, which may differ in comments only\ngot:\n%s\nwant:\n%s", page.name, p.heading, name, strings.Join(code, "\n"), strings.Join(wantCode, "\n"))
			}
			for _, c := range wantInline {
				if !slices.Contains(inline, c) {
					t.Errorf("%s § %s lacks `%s`, which %s has", page.name, p.heading, c, name)
				}
			}
			for _, c := range inline {
				if !slices.Contains(wantInline, c) {
					t.Errorf("%s § %s has `%s`, which %s has not", page.name, p.heading, c, name)
				}
			}
		}
		original := strings.Replace(page.name, ".zh-CN.", ".", 1)
		for _, name := range slices.Sorted(maps.Keys(originals)) {
			file, anchor, _ := strings.Cut(name, "#")
			if file == original && !there[name] && !strings.Contains(page.text, "]("+path.Base(original)+"#"+anchor+")") {
				t.Errorf("%s neither translates nor links to %s § %s", page.name, original, originals[name].heading)
			}
		}
		if text != page.text {
			if err := os.WriteFile("../../"+page.name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if *translated != "" && !found {
		t.Errorf("no page translates the section %q; a section is written like README.md#try-it", *translated)
	}
}
