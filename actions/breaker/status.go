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
	open, err := b.Open(ctx)
	if err != nil {
		return Status{Summary: "not known: the store did not answer"}
	}
	s.Open = open
	var texts []string
	for _, state := range open {
		texts = append(texts, state.Class+" since "+state.Opened.UTC().Format(time.RFC3339)+", until "+state.Until.UTC().Format(time.RFC3339)+" if no more jobs fail")
	}
	if len(texts) > 0 {
		s.Summary = "retries wait of failures of the class " + strings.Join(texts, "; ")
	}
	return s
}
