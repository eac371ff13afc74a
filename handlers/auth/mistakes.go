package auth

import "strings"

// Mistake is a setting that is missing or wrong.
type Mistake struct {
	Setting string // without dashes: admin-external-url
	Err     error  // what is wrong, and what to write instead
}

func (m Mistake) Error() string { return "--" + m.Setting + ": " + m.Err.Error() }

// Mistakes are all settings that are missing or wrong.
type Mistakes []Mistake

func (all Mistakes) Error() string {
	lines := make([]string, len(all))
	for i, m := range all {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

// add adds what is wrong with a setting, unless err is nil.
func (all *Mistakes) add(setting string, err error) {
	if err != nil {
		*all = append(*all, Mistake{setting, err})
	}
}
