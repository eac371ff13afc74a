package slackapp

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
	"time"

	slackapi "github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

const (
	// refusedWait is how long nothing is sent after Slack has refused the token, or another
	// server answered, unless the token changes.
	refusedWait = 5 * time.Minute
	// openFor is how long Slack may take to give the address of a connection.
	openFor = 10 * time.Second
	// ackFor is how long an acknowledgement waits for its turn: Slack waits 3 s for it.
	ackFor = 3 * time.Second
)

// SocketConfig is what NewSocket needs besides.
type SocketConfig struct {
	Config
	Token  string // the app-level token, xapp-…
	APIURL string // base of Slack's Web API; Slack's by default
}

// Socket takes requests over a connection to Slack (Socket Mode:
// docs.slack.dev/apis/events-api/using-socket-mode). slack-go's client opens it, and opens
// it anew when it breaks or when Slack asks for that. Each replica has a connection of its
// own, and Slack sends each request over one of them.
type Socket struct {
	cfg    SocketConfig
	mu     sync.Mutex
	token  string
	change chan struct{} // closed when the token is replaced
	failed bool          // there is no connection, and that is logged; only Run uses it
}

// NewSocket returns a Socket. It connects in Run.
func NewSocket(cfg SocketConfig) *Socket {
	cfg.APIURL = strings.TrimSuffix(cmp.Or(cfg.APIURL, slackapi.APIURL), "/") + "/"
	return &Socket{cfg: cfg, token: cfg.Token, change: make(chan struct{})}
}

// SetToken replaces the app-level token. The connection is opened anew with it.
func (s *Socket) SetToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token
	close(s.change)
	s.change = make(chan struct{})
}

// Run takes requests until ctx is done.
func (s *Socket) Run(ctx context.Context) {
	for ctx.Err() == nil {
		s.mu.Lock()
		token, changed := s.token, s.change
		s.mu.Unlock()

		connected, end := context.WithCancel(ctx)
		stop := make(chan struct{})
		go func() {
			defer close(stop)
			select {
			case <-changed:
				end()
			case <-connected.Done():
			}
		}()
		err := s.connect(connected, token)
		end()
		<-stop

		select {
		case <-ctx.Done():
			return
		case <-changed:
			continue
		default:
		}
		reason, advice := "Slack refuses the app-level token", "copy an app-level token with the scope connections:write to --slack-app-token, and turn Socket Mode on in the Slack app"
		if _, is := errors.AsType[slackapi.StatusCodeError](err); is { // Slack's API answers with JSON
			reason, advice = "another server answers instead of Slack's API", "check --slack-api-url and the proxy"
		}
		s.cfg.Log.ErrorContext(ctx, reason+": buttons and commands in Slack do not work", "error", hidden(err, token), "advice", advice)
		s.failed = true
		again := time.NewTimer(refusedWait)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-again.C:
		}
		again.Stop()
	}
}

// connect takes requests with a token, until ctx is done, Slack refuses the token, or
// another server answers with status 404: slack-go tries again after all other errors.
func (s *Socket) connect(ctx context.Context, token string) error {
	client := socketmode.New(
		slackapi.New("", slackapi.OptionAppLevelToken(token), slackapi.OptionAPIURL(s.cfg.APIURL), slackapi.OptionHTTPClient(&http.Client{
			Timeout: openFor,
			// Another server would get the token.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		})),
		socketmode.OptionReadLimit(maxBody), socketmode.OptionLog(log.New(io.Discard, "", 0)),
	)
	ended := make(chan error, 1)
	go func() { ended <- client.RunContext(ctx) }()
	for {
		select {
		case err := <-ended:
			return err
		case e := <-client.Events:
			s.handle(ctx, client, e, token)
		}
	}
}

// handle handles one event of the connection. An envelope is acknowledged once its request
// is stored: else Slack shows the person an error.
func (s *Socket) handle(ctx context.Context, client *socketmode.Client, e socketmode.Event, token string) {
	switch e.Type {
	case socketmode.EventTypeConnected:
		s.cfg.Log.InfoContext(ctx, "connected to Slack in Socket Mode")
		s.failed = false
		return
	case socketmode.EventTypeConnectionError:
		if failure, is := e.Data.(*slackapi.ConnectionErrorEvent); is && !s.failed && ctx.Err() == nil {
			s.cfg.Log.WarnContext(ctx, "no connection to Slack in Socket Mode: until there is one, buttons and commands in Slack do not work", "error", hidden(failure.ErrorObj, token))
			s.failed = true
		}
		return
	case socketmode.EventTypeErrorBadMessage:
		s.cfg.Log.WarnContext(ctx, "a message of Slack in Socket Mode can't be read")
		return
	default:
	}
	if e.Request == nil || e.Request.EnvelopeID == "" {
		return // nothing that Slack waits for
	}
	var requests []chatops.Request
	err := error(&ignoredError{e.Request.Type})
	switch e.Type {
	case socketmode.EventTypeInteractive:
		requests, err = interaction(e.Request.Payload, s.cfg.Now())
	case socketmode.EventTypeSlashCommand:
		requests, err = command(e.Request.Payload, s.cfg.Now())
	default:
	}
	switch ignored := (*ignoredError)(nil); {
	case errors.As(err, &ignored):
		s.cfg.Log.DebugContext(ctx, "interaction in Slack ignored", "reason", ignored.kind)
	case err != nil:
		s.cfg.Log.WarnContext(ctx, "request from Slack refused", "reason", err)
		return
	}
	storing, end := s.begin(ctx, e.Request.Type)
	err = s.cfg.put(storing, requests)
	end(err)
	if err != nil {
		return // it is logged
	}
	sending, stop := context.WithTimeout(ctx, ackFor) // without a connection, nothing is sent
	defer stop()
	if err := client.AckCtx(sending, e.Request.EnvelopeID, nil); err != nil && ctx.Err() == nil {
		s.cfg.Log.WarnContext(ctx, "a request from Slack is stored, but Slack does not know it", "error", hidden(err, token))
	}
}

// begin begins the span of an envelope that is stored, if requests are traced.
func (s *Socket) begin(ctx context.Context, kind string) (_ context.Context, end func(error)) {
	if s.cfg.Tracer == nil {
		return ctx, func(error) {}
	}
	ctx, span := s.cfg.Tracer.Start(ctx, "receive "+kind, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		semconv.MessagingSystemKey.String("slack"), semconv.MessagingOperationTypeReceive, semconv.MessagingOperationName("receive"), semconv.MessagingDestinationName(kind)))
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, "the request could not be stored")
		}
		span.End()
	}
}

// hidden returns the text of an error without the token, and without the address of a
// connection, which is a secret, too.
func hidden(err error, token string) string {
	return redact.Known("[token]", token)(redact.URL(err.Error()))
}
