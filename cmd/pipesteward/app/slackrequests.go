package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/handlers/slackapp"
)

// slackRequests are the ways in of what people request in Slack; nil: it is not used.
type slackRequests struct {
	posted *slackapp.Handler
	socket *slackapp.Socket
}

// takesSlackRequests reports whether there is a way in for what people request in Slack.
func (o Options) takesSlackRequests() bool { return len(o.SlackSecrets) > 0 || o.SlackAppToken != "" }

// newSlackRequests returns the ways in that the options turn on.
func newSlackRequests(o Options, queue slackapp.Queue, tracer trace.Tracer, log *slog.Logger) (s slackRequests, err error) {
	cfg := slackapp.Config{Queue: queue, Now: time.Now, Log: log, Tracer: tracer}
	if len(o.SlackSecrets) > 0 {
		if s.posted, err = slackapp.New(cfg, o.SlackSecrets); err != nil {
			return slackRequests{}, fmt.Errorf("--slack-signing-secret: %w", err)
		}
	}
	if o.SlackAppToken != "" {
		s.socket = slackapp.NewSocket(slackapp.SocketConfig{Config: cfg, Token: o.SlackAppToken, APIURL: o.SlackURL})
	}
	return s, nil
}

// beside returns a handler of what Slack posts, and of all else by another handler.
func (s slackRequests) beside(other http.Handler) http.Handler {
	if s.posted == nil {
		return other
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, slackapp.Prefix) {
			s.posted.ServeHTTP(w, r)
			return
		}
		other.ServeHTTP(w, r)
	})
}

// errOff is the error of a secret of a way in that is not used.
var errOff = errors.New("there was none at the start: restart to take buttons and commands from Slack by it")

func (s slackRequests) setSecrets(secrets []string) error {
	if s.posted == nil {
		return errOff
	}
	return s.posted.SetSecrets(secrets)
}

func (s slackRequests) setToken(token string) error {
	if s.socket == nil {
		return errOff
	}
	if err := slack.CheckAppToken(token); err != nil {
		return err
	}
	s.socket.SetToken(token)
	return nil
}
