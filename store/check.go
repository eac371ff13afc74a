package store

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// MaxID is the length in bytes that an id, a key or an owner may have.
const MaxID = 1024

// maxRefill bounds how long an empty bucket takes to fill, far from where
// the arithmetic would overflow.
const maxRefill = 366 * 24 * time.Hour

// checkID tells what is wrong with an id, a key or an owner; what names it.
func checkID(what, id string) error {
	switch {
	case id == "":
		return fmt.Errorf("store: the %s is empty", what)
	case len(id) > MaxID:
		return fmt.Errorf("store: the %s is %d bytes long, more than %d", what, len(id), MaxID)
	}
	return nil
}

func checkRecords(records []Record) error {
	for i, r := range records {
		if err := checkID("record id", r.ID); err != nil {
			return fmt.Errorf("%w (record %d of %d)", err, i+1, len(records))
		}
	}
	return nil
}

// checkPositive tells when a time to live or a visibility is none.
func checkPositive(what string, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("store: the %s is %v, but must be more than 0", what, d)
	}
	return nil
}

func checkClaim(key, owner string) error {
	if err := checkID("claim key", key); err != nil {
		return err
	}
	return checkID("claim owner", owner)
}

func checkHold(key string, span time.Duration) error {
	if err := checkID("rate key", key); err != nil {
		return err
	}
	return checkPositive("hold's time", span)
}

func checkTally(key string, s Seen, within time.Duration) error {
	if err := checkID("tally's member", s.ID); err != nil {
		return err
	}
	if len(s.Group) > MaxID {
		return fmt.Errorf("store: the group of a tally's member is %d bytes long, more than %d", len(s.Group), MaxID)
	}
	return checkTallied(key, within)
}

func checkTallied(key string, within time.Duration) error {
	if err := checkID("tally key", key); err != nil {
		return err
	}
	return checkPositive("tally's time", within)
}

func checkRate(r Rate) error {
	switch {
	case r.Limit < 1 || r.Per <= 0 || r.Burst < 0:
		return fmt.Errorf("store: rate %d per %v with burst %d: limit and time must be more than 0, the burst not less", r.Limit, r.Per, r.Burst)
	case r.Per > maxRefill || r.burst() > int64(maxRefill)/r.interval():
		return fmt.Errorf("store: rate %d per %v with burst %d: an empty bucket would take more than a year to fill", r.Limit, r.Per, r.Burst)
	}
	return nil
}

// later adds d to the time t (Unix nanoseconds); below 0 it counts as 0, and
// what lies beyond the last time that fits is that time.
func later(t int64, d time.Duration) int64 {
	if sum := t + int64(max(d, 0)); sum >= t {
		return sum
	}
	return math.MaxInt64
}

// errBadCursor wraps ErrBadCursor with the cursor that a caller gave.
func errBadCursor(cursor string) error {
	return fmt.Errorf("%w: %.40q", ErrBadCursor, cursor)
}

var errNoClock = errors.New("store: the options have no clock: set Now")
