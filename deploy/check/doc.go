// Package check proves what deploy/ promises, without a container engine: the
// image's build steps, the program in an image that holds nothing else, what
// compose.yaml starts, and the systemd unit. It is a module of its own, so that
// the parsers and servers it needs stay out of the program's. chart checks the Helm chart, and
// release what packages hold.
//
//	cd deploy/check && go test ./...
//
// Needs Linux, redis-server and systemd-analyze.
package check
