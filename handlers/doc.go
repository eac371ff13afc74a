// Package handlers is shared by the HTTP handlers: it has an Echo that answers
// errors in JSON, and the bound on a server's connections. Package
// handlers/webhook takes GitLab's deliveries, handlers/deliveries keeps the last ones
// for people to look at, and handlers/admin serves operators. None decides or acts.
package handlers
