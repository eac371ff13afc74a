// Package handlers is shared by the HTTP handlers: it has an Echo that answers
// errors in JSON, and the bounds on a server's connections and on the log lines about
// refused requests. Package handlers/webhook takes GitLab's deliveries, handlers/deliveries
// keeps the last ones for people to look at, handlers/slackapp takes what people request in
// Slack, and handlers/admin serves operators. None decides or acts.
package handlers
