package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// copied is a store whose backup it is.
type copied string

// Backup implements admin.Backups.
func (c copied) Backup(context.Context) (io.ReadCloser, int64, error) {
	return io.NopCloser(strings.NewReader(string(c))), int64(len(c)), nil
}

// uncopied is a store of which no backup can be made.
type uncopied struct{ err error }

// Backup implements admin.Backups.
func (u uncopied) Backup(context.Context) (io.ReadCloser, int64, error) { return nil, 0, u.err }

func TestBackup(t *testing.T) {
	for _, c := range []struct {
		store admin.Backups
		code  int
		says  string
	}{
		{copied("the whole store"), http.StatusOK, "the whole store"},
		{uncopied{fmt.Errorf("%w: a Redis has its own", admin.ErrNoBackup)}, http.StatusBadRequest, "a Redis has its own"},
		{uncopied{&event.StateError{Reason: "another one is being made"}}, http.StatusConflict, "another one is being made"},
		{uncopied{errors.New("the disk is full")}, http.StatusServiceUnavailable, "the disk is full"},
	} {
		h := described(t, admin.New(admin.Config{
			Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, Backups: c.store, Metrics: prometheus.NewRegistry(), Now: time.Now, Log: slog.New(slog.DiscardHandler),
		}))
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/api/v1/backup", nil))
		if answer.Code != c.code || !strings.Contains(answer.Body.String(), c.says) {
			t.Errorf("%d %s, want %d and %q", answer.Code, answer.Body, c.code, c.says)
		}
		if length := answer.Header().Get("Content-Length"); c.code == http.StatusOK && length != "15" {
			t.Errorf("the length is %q", length)
		}
	}
}
