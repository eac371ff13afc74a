package main

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/mod/module"
)

// release, commit and date are of a build without the repository, like that of the container:
// -ldflags "-X main.release=v1.2.3 -X main.commit=a1588da… -X main.date=2026-12-01T09:00:00Z".
var release, commit, date string

// build is what the program was built from.
type build struct {
	version  string
	commit   string // "": unknown
	date     string // of the commit, as RFC 3339; "": unknown
	modified bool   // by changes that are in no commit
}

// thisBuild returns what this program was built from.
func thisBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	b := buildOf(info)
	return build{
		version:  cmp.Or(release, b.version),
		commit:   cmp.Or(commit, b.commit),
		date:     cmp.Or(date, b.date),
		modified: b.modified,
	}
}

// buildOf reads what the Go tool stamped: `go build` the state of the repository, and
// `go install MODULE@VERSION` the version, which holds commit and time if it is no tag.
func buildOf(info *debug.BuildInfo) build {
	b := build{version: cmp.Or(info.Main.Version, "(devel)")}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.commit = s.Value
		case "vcs.time":
			b.date = s.Value
		case "vcs.modified":
			b.modified = s.Value == "true"
		}
	}
	if b.commit == "" && module.IsPseudoVersion(b.version) {
		if rev, err := module.PseudoVersionRev(b.version); err == nil {
			b.commit = rev
		}
		if t, err := module.PseudoVersionTime(b.version); err == nil {
			b.date = t.Format(time.RFC3339)
		}
	}
	return b
}

// String returns the build in one line, with the unknown left out.
func (b build) String() string {
	text := b.version
	if b.commit != "" {
		text += ", commit " + b.commit
	}
	if b.date != "" {
		text += " of " + b.date
	}
	if b.modified {
		text += " (modified)"
	}
	return text + ", " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
}
