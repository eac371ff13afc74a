package app

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// SettingErrors are the settings that are missing or wrong, each once.
type SettingErrors []SettingError

// SettingError is a setting that is missing or wrong.
type SettingError struct {
	Setting string // without dashes: gitlab-token
	Err     error  // what is wrong, and what to write instead
	// Malformed: what is given makes no sense, wherever the program runs: a value has no such
	// form, contradicts another one, or is missing.
	Malformed bool
}

func (e SettingError) Error() string {
	return "--" + e.Setting + ": " + strings.ReplaceAll(e.Err.Error(), "\n", "\n    ")
}

// Error lists the settings, one on each line if there are several.
func (all SettingErrors) Error() string {
	if len(all) == 1 {
		return all[0].Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d settings are missing or wrong:", len(all))
	for _, e := range all {
		b.WriteString("\n  " + e.Error())
	}
	return b.String()
}

// With adds what is wrong with a setting, unless err is nil or something about the
// setting is there already.
func (all SettingErrors) With(setting string, err error) SettingErrors {
	return all.with(SettingError{Setting: setting, Err: err})
}

// WithMalformed is With for what makes no sense, wherever the program runs.
func (all SettingErrors) WithMalformed(setting string, err error) SettingErrors {
	return all.with(SettingError{Setting: setting, Err: err, Malformed: true})
}

func (all SettingErrors) with(e SettingError) SettingErrors {
	if e.Err == nil || slices.ContainsFunc(all, func(other SettingError) bool { return other.Setting == e.Setting }) {
		return all
	}
	return append(all, e)
}

// Malformed reports whether one makes no sense, wherever the program runs.
func (all SettingErrors) Malformed() bool {
	return slices.ContainsFunc(all, func(e SettingError) bool { return e.Malformed })
}

// Err returns the errors, nil if there are none.
func (all SettingErrors) Err() error {
	if len(all) == 0 {
		return nil
	}
	return all
}

// JoinSettings joins the SettingErrors among errors, and among those that errors.Join has
// joined, to one; of several about a setting, the first one counts. Other errors come first.
func JoinSettings(errs ...error) error {
	var all SettingErrors
	var others []error
	var add func(error)
	add = func(err error) {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, one := range joined.Unwrap() {
				add(one)
			}
			return
		}
		some, ok := errors.AsType[SettingErrors](err)
		if !ok {
			others = append(others, err)
		}
		for _, e := range some {
			all = all.with(e)
		}
	}
	for _, err := range errs {
		add(err)
	}
	if err := errors.Join(others...); err != nil {
		return errors.Join(err, all.Err())
	}
	return all.Err()
}
