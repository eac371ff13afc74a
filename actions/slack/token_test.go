package slack_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/slack"
)

// The token of all calls is replaced; neither the old nor the new one is ever in
// an error.
func TestSetToken(t *testing.T) {
	w := newFixture(t)
	w.SetToken("xoxb-next")
	if err := w.notifier.Announce(t.Context(), "1", "ci", "text"); err == nil || !strings.Contains(err.Error(), "invalid_auth") {
		t.Errorf("with the old token: %v", err)
	}
	for _, bad := range []string{"", "xapp-1"} {
		if err := w.notifier.SetToken(bad); err == nil {
			t.Errorf("the token %q is taken", bad)
		}
	}
	if err := w.notifier.SetToken("xoxb-next"); err != nil {
		t.Fatal(err)
	}
	if err := w.notifier.Announce(t.Context(), "2", "ci", "text"); err != nil {
		t.Errorf("with the new token: %v", err)
	}

	echoing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"ok":false,"error":"not ` + token + ` nor xoxb-next"}`))
	}))
	defer echoing.Close()
	notifier, err := slack.New(slack.Config{Token: token, APIURL: echoing.URL, State: w.state, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := notifier.SetToken("xoxb-next"); err != nil {
		t.Fatal(err)
	}
	if err := notifier.Announce(t.Context(), "3", "ci", "text"); err == nil || !strings.Contains(err.Error(), "not [token] nor [token]") {
		t.Errorf("error is %v", err)
	}
}
