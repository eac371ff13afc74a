package auth

import "strings"

// ConfigError is a setting that is missing or wrong.
type ConfigError struct {
	Setting string // without dashes: admin-external-url
	Err     error  // what is wrong, and what to write instead
	// Malformed: what is given makes no sense, wherever the program runs: a value has no such
	// form, contradicts another one, or is missing.
	Malformed bool
}

func (m ConfigError) Error() string { return "--" + m.Setting + ": " + m.Err.Error() }

// ConfigErrors are all settings that are missing or wrong.
type ConfigErrors []ConfigError

func (all ConfigErrors) Error() string {
	lines := make([]string, len(all))
	for i, m := range all {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

// add adds what is wrong with a setting, unless err is nil.
func (all *ConfigErrors) add(setting string, err error) {
	if err != nil {
		*all = append(*all, ConfigError{Setting: setting, Err: err})
	}
}

// addMalformed is add for what makes no sense, wherever the program runs.
func (all *ConfigErrors) addMalformed(setting string, err error) {
	if err != nil {
		*all = append(*all, ConfigError{Setting: setting, Err: err, Malformed: true})
	}
}
