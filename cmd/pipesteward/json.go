package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"unicode/utf8"

	"github.com/pipesteward/pipesteward/rules/event"
)

// printJSON prints a value as indented JSON, see writeJSON.
func printJSON(w io.Writer, v any) error { return writeJSON(w, v, "  ") }

// writeJSON prints a value as JSON, at once: a value that can't be encoded prints nothing. Lists
// that are empty are [] and never null, and no character steers the terminal.
func writeJSON(w io.Writer, v any, indent string) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(withoutNil(v)); err != nil {
		return err
	}
	_, err := w.Write(escaped(b.Bytes()))
	return err
}

// escaped returns JSON with escapes for the characters that steer a terminal. They stand in
// strings only, apart from line breaks, and JSON allows some of them there.
func escaped(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r != '\n' && event.IsControl(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = append(out, text[:size]...)
		}
		text = text[size:]
	}
	return out
}

// withoutNil returns a copy of a value in which lists are empty where they were nil.
func withoutNil(v any) any {
	if v == nil {
		return nil
	}
	clone := reflect.New(reflect.TypeOf(v)).Elem()
	clone.Set(reflect.ValueOf(v))
	fillNil(clone)
	return clone.Interface()
}

var marshaler = reflect.TypeFor[json.Marshaler]()

// fillNil makes nil lists empty in what is settable: what encodes itself is left as it is.
func fillNil(v reflect.Value) {
	if v.Type().Implements(marshaler) || !v.CanSet() {
		return
	}
	switch kind := v.Kind(); {
	case kind == reflect.Pointer && !v.IsNil():
		fillNil(v.Elem())
	case kind == reflect.Struct:
		for _, field := range v.Fields() {
			fillNil(field)
		}
	case kind == reflect.Slice && v.IsNil():
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	case kind == reflect.Slice:
		for i := range v.Len() {
			fillNil(v.Index(i))
		}
	}
}
