package page

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/pipesteward/pipesteward/rules/event"
)

// functions are those of the templates.
var functions = template.FuncMap{
	"asset": assetURL,
	"base":  path.Base,
	"web":   webURL,
	"time":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"clock": clock,
	"span":  span,
	"secs": func(seconds float64) event.Duration {
		return event.Coarse(time.Duration(seconds * float64(time.Second)))
	},
	"words":    func(s string) string { return strings.ReplaceAll(s, "_", " ") },
	"first":    cmp.Or[string],
	"lines":    func(s string) []string { return strings.Split(s, "\n") },
	"count":    func(n int) string { return humanize.Comma(int64(n)) },
	"less":     func(a, b int) int { return a - b },
	"percent":  func(share *float64) string { return fmt.Sprintf("%.0f %%", 100**share) },
	"picture":  picture,
	"severity": severityMark,
	"verdict":  verdictMark,
	"failed":   failedText,
	"delivery": deliveryMark,
	"dict":     dict,
	"link":     link,
}

// webURL returns an address if it is one of the web; else "".
func webURL(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return ""
	}
	return address
}

// link returns the address of a view with parameters, which are names and values in turn.
func link(view string, parameters ...any) string {
	query := url.Values{}
	for i := 0; i+1 < len(parameters); i += 2 {
		if value := fmt.Sprint(parameters[i+1]); value != "" && value != "0" {
			query.Set(fmt.Sprint(parameters[i]), value)
		}
	}
	if len(query) == 0 {
		return view
	}
	return view + "?" + query.Encode()
}

// clock returns a time in UTC: the time of day, and before that the day if it is not that
// of now.
func clock(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	switch {
	case t.Format(time.DateOnly) == now.Format(time.DateOnly):
		return t.Format(time.TimeOnly)
	case t.Year() == now.Year():
		return t.Format("Jan 02 15:04:05")
	default:
		return t.Format(time.DateOnly + " " + time.TimeOnly)
	}
}

// span says how long it is from now until a time: in 5m, 5m ago.
func span(t, now time.Time) string {
	switch d := t.Sub(now); {
	case d >= time.Second:
		return "in " + event.Coarse(d).String()
	case d <= -time.Second:
		return event.Coarse(-d).String() + " ago"
	default:
		return "now"
	}
}

// picture returns the address of an SVG picture that is a part of the page. A browser runs no
// script in an image.
func picture(svg string) template.URL {
	return template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(svg))) //nolint:gosec // it is an image
}

// deliveryMark returns the mark of a delivery's result.
func deliveryMark(result string) string {
	switch result {
	case event.DeliveryStored:
		return event.ResultDone
	case event.DeliveryDuplicate, event.DeliveryIgnored:
		return event.ResultSkipped
	default:
		return event.ResultFailed
	}
}

// dict returns a map of names and values, which are given in turn, as the data of a part.
func dict(pairs ...any) map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return m
}
