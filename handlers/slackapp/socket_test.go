package slackapp_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/handlers/slackapp"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// socket runs a Socket until the test ends.
func (r *rig) socket(t *testing.T, token string) (s *slackapp.Socket, stop func()) {
	t.Helper()
	s = slackapp.NewSocket(slackapp.SocketConfig{Config: r.config(), Token: token, APIURL: r.URL()})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return s, stop
}

func (r *rig) eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	await.Until(t, what, is, r.log.String)
}

// send sends a request over the connection, and returns whether it is acknowledged yet.
func (r *rig) send(t *testing.T, a slacktest.Arrival) (acked func() bool) {
	t.Helper()
	envelope, err := r.Send(a)
	if err != nil {
		t.Fatal(err)
	}
	return func() bool { return r.Acked(envelope) }
}

func (r *rig) connected(n int) func() bool {
	return func() bool { open, _ := r.Connections(); return open == n }
}

func TestSocketMode(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, stop := r.socket(t, appToken)
	r.eventually(t, "the socket is connected", r.connected(1))
	press, typed := r.retry(), r.Command(slacktest.Command{User: r.user, Channel: r.channel, Text: "status"})
	for _, a := range []slacktest.Arrival{press, typed, press} {
		r.eventually(t, "the envelope is acknowledged", r.send(t, a))
	}
	if all := r.queue.requests(t); len(all) != 2 || all[0].Button == nil || all[1].Command != "status" || all[0].ReplyURL != press.ResponseURL {
		t.Errorf("stored: %+v", all)
	}
	// The same request by HTTP is the same record.
	if code, _ := r.post(t, press, slackapp.InteractionsPath, signingSecret); code != 200 {
		t.Errorf("the same press by HTTP: %d", code)
	}
	if code, _ := r.post(t, typed, slackapp.CommandsPath, signingSecret); code != 200 || len(r.queue.requests(t)) != 2 {
		t.Errorf("the same command by HTTP: %d, and %d requests are stored", code, len(r.queue.requests(t)))
	}
	// What is none of ours is acknowledged, and no request.
	r.eventually(t, "a form is acknowledged", r.send(t, r.Interaction(`{"type":"view_closed","trigger_id":"1","user":{"id":"U1"}}`)))
	stop()
	if len(r.queue.requests(t)) != 2 || strings.Contains(r.log.String(), "very-secret") {
		t.Errorf("stored: %+v, log:\n%s", r.queue.requests(t), r.log)
	}
	r.eventually(t, "the connection is closed", r.connected(0))
}

// An envelope is acknowledged only once its request is stored, and one that is no request
// never.
func TestSocketModeAcknowledgesWhatIsStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.socket(t, appToken)
	r.eventually(t, "the socket is connected", r.connected(1))
	r.queue.failWith(errors.New("the disk is full"))
	press := r.retry()
	first := r.send(t, press)
	r.eventually(t, "the failure is logged", func() bool { return strings.Contains(r.log.String(), "request from Slack not stored") })
	r.queue.failWith(nil)
	forged := r.send(t, r.Press(slacktest.Press{User: r.user, Channel: r.channel, ActionID: "pipesteward:retry:1", Value: "forged"}))
	r.SendRaw("{")
	r.SendRaw(`{"type":"interactive","envelope_id":"e","payload":7}`)
	r.SendRaw(`{"type":"of another time","envelope_id":"f","payload":{}}`)
	r.eventually(t, "the same press is acknowledged", r.send(t, press))
	if first() || forged() || r.Acked("e") || r.Acked("f") {
		t.Error("an envelope is acknowledged whose request is not stored")
	}
	if n := len(r.queue.requests(t)); n != 1 {
		t.Errorf("%d requests are stored", n)
	}
}

func TestSocketModeConnectsAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.socket(t, appToken)
	again := 1
	opened := func() bool { open, soFar := r.Connections(); return open == 1 && soFar == again }
	r.eventually(t, "the socket is connected", opened)
	for _, end := range []func(){func() { r.Disconnect("refresh_requested") }, func() { r.Disconnect("warning") }, r.CutConnections} {
		again++
		end()
		r.eventually(t, "the socket is connected again", opened)
		r.eventually(t, "an envelope is acknowledged", r.send(t, r.retry()))
	}
	again++
	r.Fail(slacktest.Fault{Method: "apps.connections.open", Status: 503, Times: 2})
	r.CutConnections()
	r.eventually(t, "the socket is connected after failures", opened)
	if log := r.log.String(); strings.Count(log, "no connection to Slack") != 1 {
		t.Errorf("an outage is logged more than once, or not:\n%s", log)
	}
	if n := len(r.queue.requests(t)); n != 3 {
		t.Errorf("%d requests are stored, want 3", n)
	}
}

func TestSocketModeFollowsItsToken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s, _ := r.socket(t, "xapp-1-revoked-very-secret")
	r.eventually(t, "the refusal is logged", func() bool { return strings.Contains(r.log.String(), "Slack refuses the app-level token") })
	s.SetToken(appToken)
	r.eventually(t, "the socket is connected", r.connected(1))
	const next = "xapp-1-next-very-secret"
	r.SetAppToken(next)
	s.SetToken(next)
	r.eventually(t, "the socket is connected with the next token", func() bool { open, soFar := r.Connections(); return open == 1 && soFar == 2 })
	r.eventually(t, "an envelope is acknowledged", r.send(t, r.retry()))
	if log := r.log.String(); strings.Contains(log, "very-secret") {
		t.Errorf("the log has a token:\n%s", log)
	}
}

// An answer that Slack's API never gives says nothing about the token.
func TestSocketModeBehindAnotherServer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Fail(slacktest.Fault{Method: "apps.connections.open", Status: 404, Times: 1})
	s, _ := r.socket(t, appToken)
	r.eventually(t, "the answer is logged", func() bool { return strings.Contains(r.log.String(), "level=ERROR") })
	if log := r.log.String(); strings.Contains(log, "refuses the app-level token") || !strings.Contains(log, "404") || !strings.Contains(log, "--slack-api-url") {
		t.Errorf("the log:\n%s", log)
	}
	s.SetToken(appToken)
	r.eventually(t, "the socket is connected", r.connected(1))
}

// Each envelope comes to one of the replicas, and one that comes to two is one record.
func TestSocketModeOfReplicas(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.socket(t, appToken)
	r.socket(t, appToken)
	r.eventually(t, "both are connected", r.connected(2))
	press := r.retry()
	for range 4 {
		r.eventually(t, "the envelope is acknowledged", r.send(t, press))
	}
	if n := len(r.queue.requests(t)); n != 1 {
		t.Errorf("%d requests are stored, want one", n)
	}
}
