package event

import (
	"errors"
	"slices"
	"time"
)

// Transient reports whether an error of a request to GitLab or Slack declares,
// by a method Again, that the same request can succeed later.
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

// Unavailable reports whether an error declares, by a method Unavailable, that
// GitLab as a whole can't be used. Whatever it stopped waits until GitLab is back,
// however long that takes.
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
