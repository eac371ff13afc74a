package app

import (
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/receivers"
	"github.com/pipesteward/pipesteward/actions/receivers/notices"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/receiver"
)

var _ notify.Receiver = (*notices.Receiver)(nil)

// Receivers are the receivers of the rules in force. They are safe for concurrent use.
type Receivers struct {
	log     *slog.Logger
	http    *http.Client
	inForce atomic.Pointer[map[string]definedReceiver] // by name
}

// definedReceiver is a receiver and what it was made of.
type definedReceiver struct {
	definition receiver.Definition
	notify.Receiver
}

// NewReceivers returns no receivers: those of rules come into force by Prepare.
func NewReceivers(log *slog.Logger) *Receivers {
	// Connections of their own: a receiver that takes them all delays no request to
	// another server.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	r := &Receivers{log: log, http: &http.Client{Transport: transport}}
	r.inForce.Store(&map[string]definedReceiver{})
	return r
}

// OpenReceivers returns the receivers of rules that are not replaced. With an error, of all
// that can't be made, the others are there.
func OpenReceivers(rs *rules.Rules, log *slog.Logger) (*Receivers, error) {
	r := NewReceivers(log)
	put, err := r.Prepare(rs)
	put()
	return r, err
}

// Prepare makes the receivers of rules, and returns what puts them in force. It reads the
// files of their secrets, and sends nothing. A receiver whose definition is unchanged
// stays as it is, with what it knows of its rate. The error is of all that can't be made,
// which are not among those that put puts in force.
func (r *Receivers) Prepare(rs *rules.Rules) (put func(), err error) {
	before, next := *r.inForce.Load(), map[string]definedReceiver{}
	var errs []error
	for _, d := range rs.Receivers() {
		if same, ok := before[d.Name]; ok && reflect.DeepEqual(same.definition, d) {
			next[d.Name] = same
			continue
		}
		client, err := receivers.New(d, receivers.Config{HTTPClient: r.http, Now: time.Now, Log: r.log})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		next[d.Name] = definedReceiver{d, notices.New(client, time.Now)}
	}
	return func() {
		r.inForce.Store(&next)
		r.http.CloseIdleConnections() // of receivers that are gone
	}, errors.Join(errs...)
}

// Beside returns these receivers and others, whose names no rule file can use.
func (r *Receivers) Beside(others notify.Receivers) notify.Receivers {
	return func(name string) notify.Receiver {
		if own, is := (*r.inForce.Load())[name]; is {
			return own.Receiver
		}
		return others(name)
	}
}
