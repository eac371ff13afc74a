// Package check proves what deploy/ promises, without a container engine: the
// image's build steps, the program in an image that holds nothing else, what
// compose.yaml starts, and the systemd unit; chart checks the Helm chart, release what
// packages hold, and monitoring the alerts and the dashboard. It is a module of its own, so
// that the parsers and servers it needs stay out of the program's.
//
//	cd deploy/check && go test -count 1 ./...
//
// Needs Linux, redis-server, systemd-analyze, promtool and rpm.
package check
