package webhook

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-json"
)

// whole is a whole number as hooks have it: 7, "7" or 7.0. What is none, like
// 7.5, counts as unknown.
type whole int64

var _ json.Unmarshaler = (*whole)(nil)

func (w *whole) UnmarshalJSON(raw []byte) error {
	*w = whole(wholeNumber(raw))
	return nil
}

// exact is up to where a float64 tells whole numbers apart.
const exact = 1 << 53

// wholeNumber reads a whole number; 0: it is none.
func wholeNumber(raw []byte) int64 {
	text := strings.Trim(string(raw), `"`)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > exact {
		return 0
	}
	return int64(f)
}

// seconds is a duration as hooks have it: a number, null or a quoted number.
type seconds float64

var _ json.Unmarshaler = (*seconds)(nil)

func (s *seconds) UnmarshalJSON(raw []byte) error {
	f, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	if err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
		*s = seconds(f)
	}
	return nil // what is no duration counts as unknown
}

// date is a time as hooks have it.
type date string

// dateLayouts are the forms that dates have in hooks. All of them also read
// fractions of a second.
var dateLayouts = []string{
	time.RFC3339, // Z or an offset with a colon
	"2006-01-02 15:04:05 UTC",
	"2006-01-02 15:04:05 -0700",
	"2006-01-02T15:04:05Z0700",
}

// time gives the time in UTC; zero for null and for what is no date.
func (d date) time() time.Time {
	text := string(d)
	if text == "" {
		return time.Time{}
	}
	// Most dates are like "2021-02-23 02:41:37 UTC": as RFC 3339 they are read
	// in a third of the time.
	if day, clock, ok := strings.Cut(text, " "); ok && len(text) == len(dateLayouts[1]) && strings.HasSuffix(clock, " UTC") {
		text = day + "T" + strings.TrimSuffix(clock, " UTC") + "Z"
	}
	for _, layout := range dateLayouts {
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		// Other years can't be written as JSON again.
		if t = t.UTC(); 1 <= t.Year() && t.Year() <= 9999 {
			return t
		}
		return time.Time{}
	}
	return time.Time{} // what is no date counts as unknown
}

// first gives the first time that is set.
func first(dates ...date) time.Time {
	for _, d := range dates {
		if t := d.time(); !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
