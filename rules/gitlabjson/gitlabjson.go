// Package gitlabjson reads the values of GitLab's JSON, in hooks and from its API,
// whose forms differ between versions: a number may be in quotes, and a date is
// in one of several formats. A value that can't be read is the zero value, as if
// it were missing, so that one odd field loses nothing else. It works with
// encoding/json and with github.com/goccy/go-json.
package gitlabjson

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// Int is an integer: 7, "7" or 7.0. Anything else, such as 7.5, reads as 0.
type Int int64

var _ json.Unmarshaler = (*Int)(nil)

// UnmarshalJSON implements json.Unmarshaler. It never fails.
func (i *Int) UnmarshalJSON(raw []byte) error {
	*i = Int(ParseInt(raw))
	return nil
}

// exact is up to where a float64 represents each integer.
const exact = 1 << 53

// ParseInt reads an integer as Int does.
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

// Float is a number: 7.5 or "7.5". Anything else, such as "NaN", reads as 0.
type Float float64

var _ json.Unmarshaler = (*Float)(nil)

// UnmarshalJSON implements json.Unmarshaler. It never fails.
func (f *Float) UnmarshalJSON(raw []byte) error {
	if v, err := strconv.ParseFloat(unquoted(raw), 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
		*f = Float(v)
	}
	return nil
}

// Text is a text or a number: "500" or 500. Anything else reads as "".
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

// Date is a time as it stands in the JSON; Time parses it. A decoder reports
// anything but a text as a field of the wrong type, and leaves "".
type Date string

// layouts are the formats of dates. All of them also read fractions of a second.
var layouts = []string{
	time.RFC3339, // Z or an offset with a colon
	"2006-01-02 15:04:05 UTC",
	"2006-01-02 15:04:05 -0700",
	"2006-01-02T15:04:05Z0700",
}

// Time returns the time in UTC; it is zero for null and for what is no date.
func (d Date) Time() time.Time {
	text := string(d)
	if text == "" {
		return time.Time{}
	}
	// Most dates in hooks are like "2021-02-23 02:41:37 UTC": as RFC 3339 they
	// are read in a third of the time.
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
