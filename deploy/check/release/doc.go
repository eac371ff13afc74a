// Package release checks what .goreleaser.yaml puts into packages, before a release does: it
// builds the deb and the rpm, installs them on a copy of this machine, and starts the service.
// Whether GoReleaser understands the file, and what it makes of it, `make release-check` finds out.
//
// Needs dash or another sh, and to install packages root on Linux with dpkg, rpm and curl.
package release
