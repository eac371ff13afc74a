package health

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
)

// Status tells whether GitLab can be used, as GET /api/v1/status shows it.
type Status struct {
	Summary  string               `json:"summary"` // one line for people
	Up       bool                 `json:"up"`
	Trouble  apierror.TroubleKind `json:"trouble,omitzero"`
	Since    time.Time            `json:"since,omitzero"`
	Reason   string               `json:"reason,omitzero"`
	Advice   string               `json:"advice,omitzero"`             // what a person can do
	KeptBack int                  `json:"requests_kept_back,omitzero"` // by this process, since then
}

// Status returns whether GitLab can be used.
func (m *Monitor) Status() Status {
	t, is := m.GitLab.Trouble()
	if !is {
		return Status{Summary: m.GitLab.Instance() + " can be used", Up: true}
	}
	return Status{
		Summary: fmt.Sprintf("%s can't be used since %s, and all work waits: %s; %s", m.GitLab.Instance(), t.Since.UTC().Format(time.RFC3339), t.Reason, t.Advice()),
		Trouble: t.Kind, Since: t.Since.UTC(), Reason: t.Reason, Advice: t.Advice(), KeptBack: t.Unsent,
	}
}

// NewMetrics returns a collector of whether GitLab can be used.
func NewMetrics(gl *gitlab.Client) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pipesteward_gitlab_up",
		Help: "1 while GitLab can be used; 0 while its token is refused, something else answers, or nothing does.",
	}, func() float64 {
		if _, is := gl.Trouble(); is {
			return 0
		}
		return 1
	})
}
