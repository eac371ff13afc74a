package slack_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/slack"
)

// Whatever redirects Slack's API, the token goes nowhere else, and nobody
// takes the redirect for a success.
func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, code := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		var elsewhere atomic.Int64
		thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			elsewhere.Add(1)
			_, _ = w.Write([]byte(`{"ok":true,"channel":"C012345678","ts":"1.2"}`))
		}))
		redirecting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, thief.URL+r.URL.Path, code)
		}))
		notifier, err := slack.New(slack.Config{Token: token, APIURL: redirecting.URL, State: newFixture(t).state, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		err = notifier.Announce(t.Context(), "key", "C012345678", "text")
		if err == nil || !strings.Contains(err.Error(), "--slack-api-url") {
			t.Errorf("after a %d the announcement ends with %v, want an error that names the setting", code, err)
		}
		if n := elsewhere.Load(); n != 0 {
			t.Errorf("a %d is followed %d times", code, n)
		}
		redirecting.Close()
		thief.Close()
	}
}
