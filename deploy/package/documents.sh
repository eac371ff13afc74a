#!/bin/sh
# Makes what archives and packages hold besides the program, in the directory that is named:
# the manual page, the completions of shells, and the unit with the path of packages.
set -eu
to=$1
mkdir -p "$to"
GOOS= GOARCH= go build -o "$to/program" ./cmd/pipesteward
"$to/program" man | gzip -n9 >"$to/pipesteward.1.gz"
for shell in bash zsh fish; do
  "$to/program" completion $shell >"$to/pipesteward.$shell"
done
"$to/program" completion powershell >"$to/pipesteward.ps1"
rm "$to/program"
sed 's|/usr/local/bin/|/usr/bin/|' deploy/pipesteward.service >"$to/pipesteward.service"
