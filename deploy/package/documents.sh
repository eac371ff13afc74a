#!/bin/sh
# Makes what archives and packages hold besides the program, in the directory that is named:
# the manual page, the completions of shells, the unit with the path of packages, and in documents/
# all documents, with the files that they link to or tell to install, by their paths in the repository.
set -eu
to=$1
rm -rf "$to/documents"
mkdir -p "$to/documents"
git ls-files -- '*.md' LICENSE 'rules.example*.yaml' handlers/admin/openapi.yaml \
  ':(glob)deploy/[!.]*' 'deploy/pictures/*.png' deploy/ci deploy/grafana deploy/prometheus >"$to/names"
tar -cf "$to/documents.tar" -T "$to/names"
tar -xf "$to/documents.tar" -C "$to/documents"
rm "$to/names" "$to/documents.tar"
CGO_ENABLED=0 GOOS= GOARCH= go build -trimpath -o "$to/program" ./cmd/pipesteward
"$to/program" man | gzip -n9 >"$to/pipesteward.1.gz"
for shell in bash zsh fish; do
  "$to/program" completion $shell >"$to/pipesteward.$shell"
done
"$to/program" completion powershell >"$to/pipesteward.ps1"
rm "$to/program"
sed 's|/usr/local/bin/|/usr/bin/|' deploy/pipesteward.service >"$to/pipesteward.service"
# The same commit gives the same bytes.
time=$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y%m%d%H%M.%S)
find "$to" -exec env TZ=UTC touch -t "$time" {} +
