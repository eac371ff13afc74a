// Package gitlabtest is a simulated GitLab, for tests and for the demo: a
// real HTTP server with the eleven calls of the Jobs API, those on pipelines,
// groups and projects and what is needed around them, which can also send the
// webhooks that follow from whatever is done to it.
//
// A test adds projects, pipelines and jobs, acts as the runner and as other
// people, and reads the result:
//
//	gl := gitlabtest.Start(t, gitlabtest.Options{Now: clock.Now})
//	project := gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
//	pipeline := gl.AddPipeline(project.ID, gitlabtest.Pipeline{},
//		gitlabtest.Job{Stage: "test", Name: "rspec"},
//		gitlabtest.Job{Stage: "deploy", Name: "production", When: "manual"})
//	rspec := gl.Latest(pipeline.ID, "rspec")
//	gl.Run(rspec.ID)
//	gl.Finish(rspec.ID, "failed", "runner_system_failure")
//	...
//	gl.Count("POST", "/retry") // how often the code under test retried
//
// Jobs do not run by themselves. GitLab's part happens at once: when the jobs
// of a stage are done, those of the next become pending (or manual, scheduled
// or skipped), and the pipeline's status follows from its jobs'.
//
//	                    ┌──────── Play ◄── manual, scheduled
//	                    ▼                      ▲
//	created ───────► pending ──Run──► running  │ when: manual, delayed
//	   │ stage before   │ Finish         │ Finish
//	   │ is done        ▼                ▼
//	   └──► skipped   success, failed, canceled ──Retry──► a new job, created
//
// Sweeps need more jobs than fit in memory: AddOldJobs adds a million that are
// made when they are read.
//
// It behaves as GitLab's source says of versions 16 to 19; where the versions
// differ, Options.Version decides. Left out: needs (jobs wait for stages only),
// resource groups, a bridge's strategy: depend, projects that are public or shared
// with a group, and every permission but the roles in projects and groups, with
// protected refs and environments.
//
// The package has more than 2,000 lines because it is one server: each call of the
// API, each hook and each method for tests reads and changes the same model under
// one lock, so that a cut between them would only export the model.
//
//	server.go                  options, start and end
//	model.go, list.go          projects, pipelines, jobs
//	add.go, groups.go, oldjobs.go  fill it
//	status.go, services.go     the state machine, and GitLab's operations on it
//	verbs.go                   the runner and people, for tests
//	requests.go, api.go        API requests in: recorded, faulty, routed
//	api_*.go, paging.go        the endpoints
//	graphql.go                 the GraphQL API, as far as it is needed: JUnit reports
//	render.go, hook_bodies.go  the model as JSON
//	hooks.go, hook_states.go   webhooks out, and when they are disabled
//	jobtoken.go                CI_JOB_TOKEN: what it may, and the two calls that are only for it
//	instance.go                the instance: version, settings, the token's user
//	faults.go, limits.go, lag.go, token.go, grants.go, protected.go  failures and restrictions
package gitlabtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// DefaultToken is the bot's access token where Options names none.
const DefaultToken = "simulated-access-token"

// Options say which GitLab is simulated. Only Now is required.
type Options struct {
	Now   func() time.Time // GitLab's clock
	Token string           // the bot's access token; default DefaultToken
	Bot   User             // whom the token belongs to
	// Admin makes the bot an administrator, who may read the instance's settings. In
	// projects it has its role only.
	Admin bool
	// LocalRequests are what the settings say of webhooks to the local network.
	LocalRequests LocalRequests
	Person        User   // who pushes pipelines and acts through Retry, Play, Cancel and Erase
	Version       string // default 19.1.0-ee; without -ee or -jh, it is the Community Edition, and Free
	// ExternalURL is the base URL that GitLab calls itself by, in hooks and in
	// every web_url; default: the one that it listens on.
	ExternalURL string

	// RateLimit is how many API requests are answered in one minute of Now;
	// 0: all, and no RateLimit headers.
	RateLimit int
	// ApplicationLimits answers 429 to calls beyond the limits of single endpoints
	// on a job, pipeline, project or user, in one minute of Now, as GitLab 19.4
	// does by default.
	ApplicationLimits bool
	// NoLogIsNotFound answers 404 where a job has no log, as the
	// documentation says, instead of 200 with an empty body, as GitLab does.
	NoLogIsNotFound bool
	// RunnersCancelGracefully makes a running job that is cancelled
	// canceling, until Finish ends it.
	RunnersCancelGracefully bool
	// Latency is how long every answer of the API takes, by the wall clock. Requests
	// that come at the same time wait at the same time.
	Latency time.Duration
	// Lag is how far the answers to GETs are behind, by Now, as if GitLab read from
	// a replica of its database: new jobs and pipelines are not found, others
	// are in an earlier status. Changes are made to the jobs as they are.
	Lag time.Duration
	// ForgetRequests only counts the API requests, for where there are millions:
	// Requests lists none; Count and Answered work, but Count knows paths only as
	// the API's description has them: /projects/{project}/jobs/{job}/erase.
	ForgetRequests bool
	// RetriesFail is the reason for which a job that is retried through the API
	// has failed in the answer already, without a hook, as where a quota is used
	// up; "": it has not.
	RetriesFail string
	// PipelinesFollow makes the answer to a pipeline's cancel show the status that
	// it had before, as if GitLab had not yet processed its jobs' changes.
	PipelinesFollow bool
	// Free is the Enterprise Edition without a licence: groups have no webhooks, and
	// merge requests require no approvals. So it is with the Community Edition.
	Free bool
	// DisablesHooks disables webhooks after failed deliveries, see hook_states.go, as
	// GitLab does unless an operator has switched that off.
	DisablesHooks bool
	// NoLocalHooks refuses webhooks to local addresses, as GitLab does until its
	// administrator allows them. The tests' own receivers have such addresses.
	NoLocalHooks bool
	// NoSigningTokens ignores signing tokens, as GitLab 19 does while its feature flag
	// webhook_signing_token is off.
	NoSigningTokens bool
	// PlayClones makes play start a clone of the manual job and answer with
	// the original, as happens when GitLab is overtaken by someone else.
	PlayClones bool
}

// Server is the simulated GitLab. All methods are safe for concurrent use.
// Methods that take an id panic if there is no such object: then the test or demo
// is wrong, not the code under test.
type Server struct {
	o        Options
	version  version
	url      string
	external string // base URL of every web_url
	http     *http.Server
	api      *http.ServeMux
	client   *http.Client // sends the hooks
	stop     context.CancelFunc
	running  sync.WaitGroup // listener, hook sender, requests being answered

	mu        sync.Mutex
	changed   *sync.Cond // closed or queue changed
	closed    bool
	groups    map[int64]*group
	projects  map[int64]*project
	pipelines map[int64]*pipeline
	jobs      map[int64]*job
	notes     map[mergeRequestID][]*Note
	accounts  []Account
	old       []*oldJobs  // by id
	retries   []autoRetry // by time
	changes   []change    // in the last Options.Lag, oldest first
	lastID    struct{ group, project, pipeline, job, hook, note, status int64 }

	requests []*Request
	counts   map[requestKind]int // with ForgetRequests, instead
	faults   []*Fault
	chaos    *chaos
	minute   int64 // Now's minute, and the requests in it, for RateLimit
	observed int
	token    AccessToken    // GitLab's description of the bot's
	limited  map[string]int // calls in the minute of Now that limitMinute is, for ApplicationLimits
	// limitMinute is the minute that limited counts.
	limitMinute int64

	hooks      []Hook
	tests      map[string]int // of webhooks, by project or group, in the minute of Now that testMinute is
	testMinute int64
	muted      bool        // no hooks follow from the request in flight
	deliveries []*Delivery // all
	queue      []*Delivery // not yet answered
}

var _ http.Handler = (*Server)(nil)

// TB is the part of testing.TB that Start needs.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Start starts a simulated GitLab that ends with the test.
func Start(t TB, o Options) *Server {
	t.Helper()
	s, err := Listen("127.0.0.1:0", o)
	if err != nil {
		t.Fatalf("simulated GitLab: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Listen starts a simulated GitLab on a TCP address. Close ends it.
func Listen(addr string, o Options) (*Server, error) {
	if o.Now == nil {
		return nil, errors.New("gitlabtest: Options.Now is required")
	}
	if o.Version == "" {
		o.Version = "19.1.0-ee"
	}
	if o.Token == "" {
		o.Token = DefaultToken
	}
	if o.Bot.ID == 0 {
		o.Bot = User{ID: 99, Username: "pipesteward-bot", Name: "Pipesteward", Email: "bot@example.com"}
	}
	if o.Person.ID == 0 {
		o.Person = User{ID: 3, Username: "ada", Name: "Ada Lovelace", Email: "ada@example.com"}
	}
	v, err := parseVersion(o.Version)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", addr) //nolint:noctx // returns at once
	if err != nil {
		return nil, fmt.Errorf("gitlabtest: %w", err)
	}

	ctx, stop := context.WithCancel(context.Background())
	s := &Server{
		o:         o,
		version:   v,
		url:       "http://" + listener.Addr().String(),
		external:  cmp.Or(o.ExternalURL, "http://"+listener.Addr().String()),
		client:    newHookClient(),
		stop:      stop,
		groups:    map[int64]*group{},
		projects:  map[int64]*project{},
		pipelines: map[int64]*pipeline{},
		jobs:      map[int64]*job{},
		notes:     map[mergeRequestID][]*Note{},
		counts:    map[requestKind]int{},
	}
	s.api = s.routes()
	s.changed = sync.NewCond(&s.mu)
	s.lastID.group, s.lastID.pipeline, s.lastID.job, s.lastID.note, s.lastID.status = 500, 100, 1000, 7000, 9000 // so that ids of different kinds differ in tests
	s.http = &http.Server{
		Handler:           s,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
	}
	s.running.Go(func() { _ = s.http.Serve(listener) }) // always http.ErrServerClosed
	s.running.Go(func() { s.sendHooks(ctx) })
	return s, nil
}

// URL is GitLab's base URL, without a slash at the end.
func (s *Server) URL() string { return s.url }

// origin is GitLab's external URL without a relative URL root: X-Gitlab-Instance
// has it so (Gitlab.config.gitlab.base_url).
func (s *Server) origin() string {
	u, err := url.Parse(s.external)
	if err != nil {
		panic("simulated GitLab: Options.ExternalURL: " + err.Error())
	}
	return u.Scheme + "://" + u.Host
}

// SetToken replaces the bot's access token, as a rotation does.
func (s *Server) SetToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.Token = token
}

// Close cuts all requests and hooks in flight, and returns when nothing runs any
// more. Call Flush before it if hooks must arrive.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.changed.Broadcast()
	s.mu.Unlock()
	s.stop()
	_ = s.http.Close() // the listener's error helps nobody
	s.running.Wait()
	s.client.CloseIdleConnections()
}

// version is GitLab's major and minor version.
type version struct{ major, minor int }

func parseVersion(s string) (v version, err error) {
	if _, err := fmt.Sscanf(s, "%d.%d", &v.major, &v.minor); err != nil {
		return v, fmt.Errorf("gitlabtest: version %q: want one like 19.1.0", s)
	}
	return v, nil
}

func (v version) atLeast(major, minor int) bool {
	return v.major > major || v.major == major && v.minor >= minor
}
