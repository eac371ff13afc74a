package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/pipesteward/pipesteward/rules/event"
)

// output is standard output. It keeps the first error of writing, so that no command
// succeeds whose output is lost.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if err != nil {
		err = fmt.Errorf("the output can't be written: %w", err)
		o.err = cmp.Or(o.err, err)
	}
	return n, err
}

// Fd returns the file descriptor that is written to; an invalid one if it is no file.
func (o *output) Fd() uintptr {
	if f, ok := o.w.(interface{ Fd() uintptr }); ok {
		return f.Fd()
	}
	return ^uintptr(0)
}

// ownColours are the sequences by which commands colour words.
var ownColours = regexp.MustCompile(`^\x1b\[(0|1|2|3[1-6])m`)

// cleanOutput is standard output for text of others: it prints a question mark for each
// character that would steer the terminal, apart from line breaks, tabs and, where words are
// coloured, the colours of the commands.
type cleanOutput struct {
	*output
	coloured bool
	partial  []byte // the beginning of a character, whose end comes with the next write
}

func newCleanOutput(o *output) *cleanOutput {
	return &cleanOutput{output: o, coloured: newPrinter(o).colour}
}

func (c *cleanOutput) Write(b []byte) (int, error) {
	text := slices.Concat(c.partial, b)
	out := bytes.NewBuffer(make([]byte, 0, len(text)))
	for len(text) > 0 && utf8.FullRune(text) {
		r, size := utf8.DecodeRune(text)
		switch {
		case c.coloured && r == '\x1b' && ownColours.Match(text):
			size = len(ownColours.Find(text))
			out.Write(text[:size])
		case r == '\n', r == '\t', r != utf8.RuneError && !event.IsControl(r):
			out.Write(text[:size])
		default:
			out.WriteByte('?')
		}
		text = text[size:]
	}
	c.partial = bytes.Clone(text)
	if _, err := c.output.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(b), nil
}

// cleaned returns a copy of an item of the server, such as a decision, whose texts are
// printable: each is of one line and steers no terminal.
func cleaned[T any](item T) T {
	clean(reflect.ValueOf(&item).Elem())
	return item
}

// clean makes the texts in what is settable printable. Lists are copied; maps are left, no
// listing shows them.
func clean(v reflect.Value) {
	switch kind := v.Kind(); {
	case kind == reflect.Struct:
		for _, field := range v.Fields() {
			clean(field)
		}
	case !v.CanSet():
	case kind == reflect.String:
		v.SetString(printable(v.String()))
	case kind == reflect.Slice && !v.IsNil() && v.Type().Elem().Kind() != reflect.Uint8:
		list := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(list, v)
		for i := range list.Len() {
			clean(list.Index(i))
		}
		v.Set(list)
	}
}
