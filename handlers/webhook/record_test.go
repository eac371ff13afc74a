package webhook_test

import (
	stdjson "encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules/event"
)

// TestEncode: whatever the record of an event has, it reads the same as if
// encoding/json had written it.
func TestEncode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e event.Record
		draw(t, reflect.ValueOf(&e).Elem(), "event")
		record, err := webhook.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		standard, err := stdjson.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var got, want event.Record
		if err := stdjson.Unmarshal(record, &got); err != nil {
			t.Fatalf("%v in %s", err, record)
		}
		if err := stdjson.Unmarshal(standard, &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("the record reads otherwise (- want, + got):\n%s\n%s", diff, record)
		}
	})
}

// draw fills a value and all in it.
func draw(t *rapid.T, v reflect.Value, name string) {
	if !rapid.Bool().Draw(t, name+" is set") && v.Kind() != reflect.Struct {
		return
	}
	switch v.Interface().(type) {
	case time.Time:
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, name), rapid.Int64Range(0, 999_999_999).Draw(t, name))
		v.Set(reflect.ValueOf(at.UTC()))
		return
	case string:
		v.SetString(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{`"\</`, "\xff", "\u2028", "\x00\n\x7f", "é"})).Draw(t, name))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			draw(t, v.Field(i), name+"."+v.Type().Field(i).Name)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rapid.IntRange(1, 3).Draw(t, name), 3))
		for i := range v.Len() {
			draw(t, v.Index(i), name)
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(rapid.MapOf(rapid.String(), rapid.String()).Draw(t, name)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, name))
	case reflect.Float64:
		v.SetFloat(rapid.Float64().Draw(t, name))
	default:
		t.Fatalf("%s is a %s: teach the test to draw one", name, v.Kind())
	}
}
