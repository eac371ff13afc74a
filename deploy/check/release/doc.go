// Package release checks what .goreleaser.yaml puts into packages, before a release does. Whether
// GoReleaser understands the file, and what it makes of it, `make release-check` finds out.
//
// Needs dash or another sh.
package release
