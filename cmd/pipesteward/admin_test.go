package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// request sends a request to the admin address, for a host, "" for its own; header holds names
// and values in turn.
func (p *program) request(method, path, host string, header ...string) (int, string) {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), method, p.admin+path, http.NoBody)
	if err != nil {
		p.Fatal(err)
	}
	req.Host = host
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// The admin address is on loopback by default: no web page may read it, or
// make a browser change anything there.
func TestAdminOnLoopback(t *testing.T) {
	env := newEnvironment(t)
	p := env.run()
	port := p.admin[strings.LastIndex(p.admin, ":"):]
	for host, want := range map[string]int{
		"": http.StatusOK, "localhost" + port: http.StatusOK, "rebound.example.com" + port: http.StatusMisdirectedRequest,
	} { // "" is the address itself
		if code, text := p.request(http.MethodGet, "/api/v1/decisions", host); code != want {
			t.Errorf("the journal for host %q: %d %s, want %d", host, code, text, want)
		}
	}
	if code, text := p.request(http.MethodPost, "/-/reload", "", "Origin", "https://evil.example.com", "Sec-Fetch-Site", "cross-site"); code != http.StatusForbidden {
		t.Errorf("a reload by another page: %d %s, want 403", code, text)
	}

	env.write("rules.yaml", ruleNamed("second"))
	if code, text := p.request(http.MethodPost, "/-/reload", ""); code != http.StatusOK {
		t.Errorf("a reload: %d %s", code, text)
	}
	if s := p.rulesState(); len(s.Rules) != 1 || s.Rules[0].Name != "second" {
		t.Errorf("after a reload the rules are %+v", s.Rules)
	}
	env.write("rules.yaml", "version: 1\nrules: [{name: broken, on: jobs}]\n")
	if code, text := p.request(http.MethodPost, "/-/reload", ""); code != http.StatusUnprocessableEntity || !strings.Contains(text, `did you mean`) {
		t.Errorf("a reload of rules that can't be used: %d %s, want 422 with what is wrong", code, text)
	}
}
