package rules

import (
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Report is a report that is sent again and again, such as each week.
type Report struct {
	Name     string
	Schedule Schedule // has only the times
	Span     event.Duration
	Project  string // a project's id, or a glob of paths; "": all
	DryRun   bool   // it has what would have been done
	To       event.Address
	Language string // "": English
}

// Due reports whether the report is due at exactly that time.
func (r Report) Due(at time.Time) bool { return r.Schedule.Next(at.Add(-time.Second)).Equal(at) }

// Reports returns the reports that the files ask for, in file order; names are unique.
func (rs *Rules) Reports() []Report { return rs.reports }
