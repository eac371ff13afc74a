package store

import (
	"fmt"
	"slices"
	"time"
)

// MaxID is the greatest length of an id, a key or an owner, in bytes.
const MaxID = 1024

// maxRefill bounds how long an empty bucket takes to fill, far from where
// the arithmetic would overflow.
const maxRefill = 366 * 24 * time.Hour

// The functions below are for backends: each returns an error that says which
// argument of the method is invalid, or nil.

// CheckRecords checks the records of Put, and those that follow a Done.
func CheckRecords(records []Record) error {
	for i, r := range records {
		if err := checkID("record id", r.ID); err != nil {
			return fmt.Errorf("%w (record %d of %d)", err, i+1, len(records))
		}
		if r.Note != nil {
			if err := CheckEntry(r.Note.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// CheckChanges checks the changes of DoneWith and Change.
func CheckChanges(c Changes) error {
	if err := CheckRecords(c.Next); err != nil {
		return err
	}
	for _, e := range c.Amend {
		if err := CheckEntry(e.ID); err != nil {
			return err
		}
	}
	for _, v := range c.Values {
		if err := CheckSet(v.Key, v.TTL); err != nil {
			return err
		}
	}
	for _, e := range c.Expect {
		if err := CheckGet(e.Key); err != nil {
			return err
		}
	}
	return nil
}

// CheckRecordID checks the id of Find and Hasten.
func CheckRecordID(id string) error { return checkID("record id", id) }

// CheckSteered checks the arguments of Requeue and Drop.
func CheckSteered(id string, c Changes) error {
	if err := CheckRecordID(id); err != nil {
		return err
	}
	return CheckChanges(c)
}

// CheckVisibility checks the visibility of Lease and Extend.
func CheckVisibility(d time.Duration) error { return checkPositive("visibility", d) }

// CheckEntry checks the id of Note and Amend.
func CheckEntry(id string) error { return checkID("entry id", id) }

// CheckEntries returns an error if Entries are called with invalid ids.
func CheckEntries(ids []string) error {
	for _, id := range ids {
		if err := CheckEntry(id); err != nil {
			return err
		}
	}
	return nil
}

// CheckAppend checks the arguments of Append.
func CheckAppend(key, id string, most int) error {
	if err := CheckAppended(key); err != nil {
		return err
	}
	if most < 1 {
		return fmt.Errorf("store: a log keeps %d entries, but must keep at least 1", most)
	}
	return CheckEntry(id)
}

// CheckAppended checks the key of Appended.
func CheckAppended(key string) error { return checkID("log key", key) }

// CheckTake checks the buckets of Take.
func CheckTake(buckets []Bucket) error {
	for i, b := range buckets {
		if err := checkBucket(b); err != nil {
			return err
		}
		if slices.ContainsFunc(buckets[:i], func(other Bucket) bool { return other.Key == b.Key }) {
			return fmt.Errorf("store: two buckets have the key %q", b.Key)
		}
	}
	return nil
}

func checkBucket(b Bucket) error {
	if err := CheckHeld(b.Key); err != nil {
		return err
	}
	r := b.Rate
	switch {
	case r.Limit < 1 || r.Per <= 0 || r.Burst < 0:
		return fmt.Errorf("store: rate %d per %v with burst %d: limit and time must be more than 0, the burst not less", r.Limit, r.Per, r.Burst)
	case r.Per > maxRefill || r.Capacity() > int64(maxRefill/r.Interval()):
		return fmt.Errorf("store: rate %d per %v with burst %d: an empty bucket would take more than a year to fill", r.Limit, r.Per, r.Burst)
	}
	return nil
}

// CheckHold checks the arguments of Hold.
func CheckHold(key string, span time.Duration) error {
	if err := CheckHeld(key); err != nil {
		return err
	}
	return checkPositive("hold's time", span)
}

// CheckHeld checks the key of Held.
func CheckHeld(key string) error { return checkID("rate key", key) }

// CheckClaim checks the arguments of Claim.
func CheckClaim(key, owner string, ttl time.Duration) error {
	if err := CheckRelease(key, owner); err != nil {
		return err
	}
	return checkPositive("claim's time to live", ttl)
}

// CheckRelease checks the arguments of Release.
func CheckRelease(key, owner string) error {
	if err := checkID("claim key", key); err != nil {
		return err
	}
	return checkID("claim owner", owner)
}

// CheckTally checks the arguments of Tally.
func CheckTally(key string, s Seen, within time.Duration) error {
	if err := checkID("tally's member", s.ID); err != nil {
		return err
	}
	if len(s.Group) > MaxID {
		return fmt.Errorf("store: the group of a tally's member is %d bytes long, more than %d", len(s.Group), MaxID)
	}
	return CheckTallied(key, within)
}

// CheckTallied checks the arguments of Tallied.
func CheckTallied(key string, within time.Duration) error {
	if err := checkID("tally key", key); err != nil {
		return err
	}
	return checkPositive("tally's time", within)
}

// CheckSet checks the arguments of Set.
func CheckSet(key string, ttl time.Duration) error {
	if err := CheckGet(key); err != nil {
		return err
	}
	return checkPositive("value's time to live", ttl)
}

// CheckGet checks the key of Get.
func CheckGet(key string) error { return checkID("key", key) }

func checkID(what, id string) error {
	switch {
	case id == "":
		return fmt.Errorf("store: the %s is empty", what)
	case len(id) > MaxID:
		return fmt.Errorf("store: the %s is %d bytes long, more than %d", what, len(id), MaxID)
	}
	return nil
}

func checkPositive(what string, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("store: the %s is %v, but must be more than 0", what, d)
	}
	return nil
}
