package failureclass

import "regexp"

// Class is a failure class by the log: a failed job is of it if one of its patterns
// matches the job's log.
type Class struct {
	Name string
	Doc  string // what it is about and what to do, for people
	Log  []*regexp.Regexp
	// Ending limits the match to the last telling line of the log: the last one that the
	// command that failed printed, or the runner after it, besides those that only repeat
	// that something failed. The patterns are for single lines.
	Ending bool
	// Within is, if Ending, how many more lines that tell nothing may follow that line.
	Within int
	// Unless are texts: a log that contains one is not of the class, if Ending.
	Unless []string
	// Hopeless means that a retry does not help.
	Hopeless bool
}

// List is a list of classes with different names. The first that matches a log is the
// job's; of those in a row with Ending, the first that matches its last telling line.
type List []Class

// Names returns the names of the classes, in their order.
func (l List) Names() []string {
	names := make([]string, len(l))
	for i, c := range l {
		names[i] = c.Name
	}
	return names
}
