package gitlabjson_test

import (
	"encoding/json"
	"testing"
	"time"

	gojson "github.com/goccy/go-json"
	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules/gitlabjson"
)

type values struct {
	Int   gitlabjson.Int   `json:"int"`
	Float gitlabjson.Float `json:"float"`
	Text  gitlabjson.Text  `json:"text"`
	Date  gitlabjson.Date  `json:"date"`
}

// TestFormats checks that all formats of a value are decoded alike with both
// libraries, and that an invalid value is zero.
func TestFormats(t *testing.T) {
	for _, tt := range []struct {
		json string
		want values
	}{
		{`{"int": 7, "float": 7.5, "text": "500"}`, values{Int: 7, Float: 7.5, Text: "500"}},
		{`{"int": "7", "float": "7.5", "text": 500}`, values{Int: 7, Float: 7.5, Text: "500"}},
		{`{"int": 7.0, "float": 7, "text": "internal error"}`, values{Int: 7, Float: 7, Text: "internal error"}},
		{`{"int": 7e2, "float": 75e-1}`, values{Int: 700, Float: 7.5}},
		{`{"int": 9007199254740993}`, values{Int: 9007199254740993}},
		{`{"int": null, "float": null, "text": null}`, values{}},
		{`{"int": 7.5, "float": "NaN", "text": [1]}`, values{}},
		{`{"int": 1e30, "float": "1e999", "text": {"a": 1}}`, values{}},
		{`{"int": "seven", "float": "-Inf", "text": true}`, values{}},
		{`{"int": [7], "float": {"a": 7}}`, values{}},
	} {
		for library, unmarshal := range map[string]func([]byte, any) error{"encoding/json": json.Unmarshal, "go-json": gojson.Unmarshal} {
			var got values
			if err := unmarshal([]byte(tt.json), &got); err != nil {
				t.Errorf("%s: %s: %v", library, tt.json, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", library, tt.json, diff)
			}
		}
	}
}

func TestDates(t *testing.T) {
	at := time.Date(2021, 2, 23, 2, 41, 37, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2021-02-23T02:41:37Z":          at,
		"2021-02-23T04:41:37+02:00":     at,
		"2021-02-23T04:41:37+0200":      at,
		"2021-02-23T02:41:37.5Z":        at.Add(500 * time.Millisecond),
		"2021-02-23 02:41:37 UTC":       at,
		"2021-02-23 02:41:37.5 UTC":     at.Add(500 * time.Millisecond),
		"2021-02-23 04:41:37 +0200":     at,
		"2021-02-23 04:41:37.5 +0200":   at.Add(500 * time.Millisecond),
		"0000-01-01 00:00:00 +0200":     {},
		"9999-12-31T23:59:59-01:00":     {},
		"2021-02-23":                    {},
		"2021-02-30 02:41:37 UTC":       {},
		"yesterday":                     {},
		"":                              {},
		"2021-02-23 02:41:37 UTC later": {},
	} {
		if got := gitlabjson.Date(text).Time(); !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}
