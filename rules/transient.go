package rules

import (
	"errors"
	"slices"
	"time"
)

// Passes reports whether an error that Facts, or an action, came back with
// says of itself that the same can work later.
func Passes(err error) bool {
	var passing interface {
		Again() (after time.Duration, ok bool)
	}
	if !errors.As(err, &passing) {
		return false
	}
	_, ok := passing.Again()
	return ok
}

// Unavailable reports whether an error says of itself that it is about GitLab as
// a whole, which can't be used: what it stopped waits until that is mended,
// however long.
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
