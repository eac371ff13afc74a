package store

import "errors"

// ErrInUse is returned when a store for one process is opened that another process
// has open.
var ErrInUse = errors.New("open in another process")

// Description describes a backend to operators. It contains no password. Sizes are in
// bytes; 0 is unknown or unlimited.
type Description struct {
	Backend  string   // what it is, with its version
	Place    string   // where it is
	Warnings []string // settings with which it may lose what it acknowledged, each with its remedy
	Used     int64    // of Limit or, by a file, of the disk
	Limit    int64    // of memory
	Free     int64    // left on the disk
}
