// Package handlers has what the ways in have in common: an Echo that answers
// errors in JSON, and the bound on a server's connections. The ways in are
// handlers/webhook, which takes GitLab's deliveries, and handlers/admin, which
// serves operators. Neither decides or acts.
package handlers
