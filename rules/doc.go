// Package rules is the engine: which rules match an event, what they decide, and
// why. It does no I/O, has no clock and logs nothing: facts of GitLab come in through
// expression.Facts, the time is the event's own, and errors are returned. The
// packages below it compile expressions (expression) and hold the data (event);
// rulefile reads the rules from files.
package rules
