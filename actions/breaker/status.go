package breaker

import (
	"context"
	"strings"
	"time"
)

// Status tells which breakers are open, as GET /api/v1/status shows it.
type Status struct {
	Summary string  `json:"summary,omitzero"` // one line for people; "": all are closed
	Open    []State `json:"open,omitempty"`
}

// Status returns which breakers are open.
func (b *Breakers) Status(ctx context.Context) Status {
	var s Status
	var texts []string
	for _, class := range b.Rules().Classes() {
		state, err := b.State(ctx, class)
		if err != nil {
			return Status{Summary: "not known: the store did not answer"}
		}
		if state == nil || !state.Open(b.Now()) {
			continue
		}
		s.Open = append(s.Open, *state)
		texts = append(texts, class+" since "+state.Opened.UTC().Format(time.RFC3339)+", until "+state.Until.UTC().Format(time.RFC3339)+" if no more jobs fail")
	}
	if len(texts) > 0 {
		s.Summary = "retries wait of failures of the class " + strings.Join(texts, "; ")
	}
	return s
}
