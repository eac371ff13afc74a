package page_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// TestStrict: what a view does not know, is given twice or has no meaning is refused in the
// words of its forms, and changes nothing.
func TestStrict(t *testing.T) {
	t.Parallel()
	r := newRig(t, openBolt(t))
	for _, c := range []struct {
		name, address string
		form          url.Values
		says          string
	}{
		{"an unknown parameter", "/decisions?limit=abc", nil, "the address has &#34;limit&#34;, which this view does not know: it takes text, outcome"},
		{"a parameter of no view", "/limits?unknown=value", nil, "&#34;unknown&#34;, and this view takes nothing"},
		{"a parameter twice", "/decisions?since=1h&since=2h", nil, "the address has “Since” 2 times"},
		{"an unreadable address", "/decisions?text=%zz", nil, "the address can&#39;t be read"},
		{"no time", "/decisions?since=yesterday", nil, "“Since”: it must be a duration"},
		{"a time in the future", "/deliveries?since=2999-01-01T00:00:00Z", nil, "“Since”: 2999-01-01T00:00:00Z is in the future"},
		{"no word of a set", "/queue?waits_for=godot", nil, "“Waits for”: it must be one of"},
		{"no id", "/decisions?pipeline=x&job=y", nil, "“Job”: it must be an id"},
		{"too long ago", "/report?since=100000d", nil, "“The last”: 100000d is too long ago"},
		{"the end of no change", "/pauses?done=everything", nil, "&#34;done&#34;"},
		{"an unknown field", "/pauses", url.Values{"do": {"pause"}, "scope": {"all"}, "bogus": {"1"}}, "the form has &#34;bogus&#34;"},
		{"a field twice", "/pauses", url.Values{"do": {"pause"}, "scope": {"rule"}, "rule": {"retry-stuck", "b"}}, "the form has “Rule” 2 times"},
		{"a field of another form", "/pauses", url.Values{"do": {"resume"}, "scope": {"all"}, "for": {"2h"}}, "the form has &#34;for&#34;"},
		{"no duration", "/pauses", url.Values{"do": {"pause"}, "scope": {"all"}, "for": {"soon"}}, "“For”: &#34;soon&#34; is not a duration"},
		{"a name of two lines", "/mutes", url.Values{"do": {"mute"}, "reason": {"a\nb"}}, "“Reason” has line breaks"},
		{"a reach that is no time", "/deliveries", url.Values{"do": {"catch-up"}, "reach": {"long"}}, "“Reach back”: it must be a duration"},
		{"a change in the address", "/pauses?do=pause", url.Values{"scope": {"all"}}, "the address has &#34;do&#34;"},
		{"an unknown parameter beside a form", "/pauses?x=1", url.Values{"do": {"pause"}, "scope": {"all"}}, "the address has &#34;x&#34;"},
	} {
		method := http.MethodGet
		if c.form != nil {
			method = http.MethodPost
		}
		w := r.send(method, c.address, "ann", c.form)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d, want 400 with %s\n%s", c.name, w.Code, c.says, w.Body)
		}
	}
	if all, err := r.changes.List(t.Context()); len(all) != 0 || err != nil {
		t.Errorf("changes were made: %+v, %v", all, err)
	}
}

// named finds the fields of forms.
var named = regexp.MustCompile(`<(?:input|select)[^>]* name="([a-z_]+)"`)

// TestFormsAreTaken: each view takes what its own forms send.
func TestFormsAreTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t, openBolt(t))
	r.decide(1)
	for _, view := range []string{"/decisions", "/story", "/queue", "/dead", "/unknown", "/report", "/deliveries"} {
		_, rest, _ := strings.Cut(r.send(http.MethodGet, view, "ann", nil).Body.String(), `<form class="filters"`)
		form, _, _ := strings.Cut(rest, "</form>")
		query := url.Values{}
		for _, field := range named.FindAllStringSubmatch(form, -1) {
			query.Set(field[1], "")
		}
		if w := r.send(http.MethodGet, view+"?"+query.Encode(), "ann", nil); len(query) == 0 || w.Code != http.StatusOK {
			t.Errorf("%s with an empty form %v: %d\n%s", view, query, w.Code, w.Body)
		}
	}
}

// TestBackground: checks and webhooks are requested by forms; while others are under way, the
// view says so.
func TestBackground(t *testing.T) {
	t.Parallel()
	r := newRig(t, openBolt(t))
	for _, c := range []struct {
		view, user string
		form       url.Values
		code       int
		says       string
	}{
		{"/doctor", "rita", url.Values{"do": {"check"}}, http.StatusForbidden, "rita"},
		{"/doctor", "ann", url.Values{"do": {"check"}}, http.StatusSeeOther, ""},
		{"/doctor", "ann", url.Values{"do": {"check"}, "all": {"yes"}}, http.StatusConflict, "checks are under way"},
		{"/webhooks", "rita", url.Values{"do": {"ensure"}}, http.StatusForbidden, "rita"},
		{"/webhooks", "ann", url.Values{"do": {"ensure"}, "reason": {"moved"}}, http.StatusSeeOther, ""},
		{"/webhooks", "ann", url.Values{"do": {"read"}}, http.StatusConflict, "they are being read"},
	} {
		if w := r.send(http.MethodPost, c.view, c.user, c.form); w.Code != c.code || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s %v by %s: %d\n%s", c.view, c.form, c.user, w.Code, w.Body)
		}
	}
}
