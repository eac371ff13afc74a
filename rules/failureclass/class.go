package failureclass

import "regexp"

// Class is a failure class by the log: a failed job is of it if one of its patterns
// matches the job's log.
type Class struct {
	Name string
	Doc  string // what it is about and what to do, for people
	Log  []*regexp.Regexp
	// Ending limits the match to the end of the log: what the command that failed
	// printed, and the runner after it.
	Ending bool
	// Hopeless means that a retry does not help.
	Hopeless bool
}

// List is a list of classes with different names. The first that matches a log is the
// job's.
type List []Class

// Names returns the names of the classes, in their order.
func (l List) Names() []string {
	names := make([]string, len(l))
	for i, c := range l {
		names[i] = c.Name
	}
	return names
}
