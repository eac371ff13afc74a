package event

import (
	"errors"
	"slices"
	"time"
)

// Transient reports whether an error in the chain of err declares, by a method
// Again, that the same request to GitLab or Slack may succeed later.
func Transient(err error) bool {
	var passing interface {
		Again() (after time.Duration, ok bool)
	}
	if !errors.As(err, &passing) {
		return false
	}
	_, ok := passing.Again()
	return ok
}

// Unavailable reports whether an error in the tree of err declares, by a
// method Unavailable, that GitLab as a whole is unavailable. Work that stopped
// for this reason waits until GitLab is back, without a time limit.
func Unavailable(err error) bool {
	if unavailable, ok := err.(interface{ Unavailable() bool }); ok && unavailable.Unavailable() {
		return true
	}
	switch wrapper := err.(type) { //nolint:errorlint // likewise
	case interface{ Unwrap() error }:
		return Unavailable(wrapper.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(wrapper.Unwrap(), Unavailable)
	}
	return false
}
