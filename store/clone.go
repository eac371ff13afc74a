package store

import (
	"bytes"
	"slices"
)

// Clone returns a copy with copies of all bodies and values. Backends keep one: callers may
// change what they passed.
func (c Changes) Clone() Changes {
	c.Next, c.Amend, c.Values = CloneRecords(c.Next), CloneEntries(c.Amend), slices.Clone(c.Values)
	for i := range c.Values {
		c.Values[i].Value = bytes.Clone(c.Values[i].Value)
	}
	c.Expect = slices.Clone(c.Expect)
	for i := range c.Expect {
		c.Expect[i].Value = bytes.Clone(c.Expect[i].Value)
	}
	return c
}

// CloneRecords returns copies of records with their bodies and notes.
func CloneRecords(records []Record) []Record {
	records = slices.Clone(records)
	for i := range records {
		records[i].Body = bytes.Clone(records[i].Body)
		if note := records[i].Note; note != nil {
			records[i].Note = &Entry{ID: note.ID, Body: bytes.Clone(note.Body)}
		}
	}
	return records
}

// CloneEntries returns copies of entries with their bodies.
func CloneEntries(entries []Entry) []Entry {
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].Body = bytes.Clone(entries[i].Body)
	}
	return entries
}
