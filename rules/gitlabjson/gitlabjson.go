// Package gitlabjson decodes the values of GitLab's JSON, in hooks and API
// responses, whose format differs between GitLab versions: a number may be
// quoted, and a date has one of several formats. A value that can't be decoded
// is the zero value, as if it were missing, so that one unexpected field does
// not discard the rest. The types work with encoding/json and with
// github.com/goccy/go-json.
package gitlabjson

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// Int is an integer: 7, "7" or 7.0. Any other value, such as 7.5, is decoded
// as 0.
type Int int64

var _ json.Unmarshaler = (*Int)(nil)

// UnmarshalJSON implements json.Unmarshaler. It never fails.
func (i *Int) UnmarshalJSON(raw []byte) error {
	*i = Int(ParseInt(raw))
	return nil
}

// exact is the limit up to which a float64 represents every integer.
const exact = 1 << 53

// ParseInt decodes an integer as Int does.
func ParseInt(raw []byte) int64 {
	text := unquoted(raw)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > exact {
		return 0
	}
	return int64(f)
}

// Float is a number: 7.5 or "7.5". Any other value, such as "NaN", is decoded
// as 0.
type Float float64

var _ json.Unmarshaler = (*Float)(nil)

// UnmarshalJSON implements json.Unmarshaler. It never fails.
func (f *Float) UnmarshalJSON(raw []byte) error {
	if v, err := strconv.ParseFloat(unquoted(raw), 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
		*f = Float(v)
	}
	return nil
}

// Text is a text or a number: "500" or 500. Any other value is decoded as "".
type Text string

var _ json.Unmarshaler = (*Text)(nil)

// UnmarshalJSON implements json.Unmarshaler. It never fails.
func (t *Text) UnmarshalJSON(raw []byte) error {
	var s string
	var n json.Number
	if json.Unmarshal(raw, &s) == nil {
		*t = Text(s)
	} else if json.Unmarshal(raw, &n) == nil {
		*t = Text(n)
	}
	return nil
}

// Date is a date as the JSON contains it; Time parses it. A decoder reports
// any value that is no text as a field of the wrong type, and the Date remains
// "".
type Date string

// layouts are the formats of dates. Parsing with each of them also accepts
// fractions of a second.
var layouts = []string{
	time.RFC3339, // Z or an offset with a colon
	"2006-01-02 15:04:05 UTC",
	"2006-01-02 15:04:05 -0700",
	"2006-01-02T15:04:05Z0700",
}

// Time returns the time in UTC. It is zero for null and for a text that is no
// date.
func (d Date) Time() time.Time {
	text := string(d)
	if text == "" {
		return time.Time{}
	}
	// Most dates in hooks are like "2021-02-23 02:41:37 UTC". Rewritten as RFC
	// 3339, they are parsed in a third of the time.
	if day, clock, ok := strings.Cut(text, " "); ok && len(text) == len(layouts[1]) && strings.HasSuffix(clock, " UTC") {
		text = day + "T" + strings.TrimSuffix(clock, " UTC") + "Z"
	}
	for _, layout := range layouts {
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		// JSON can't represent other years.
		if t = t.UTC(); 1 <= t.Year() && t.Year() <= 9999 {
			return t
		}
		return time.Time{}
	}
	return time.Time{}
}

func unquoted(raw []byte) string { return strings.Trim(string(raw), `"`) }
