// Package joblog makes something of a job's log: Clean gives what a terminal
// would show, Mask hides secrets, Excerpt finds the lines that matter and Line
// the one that tells most. They are to be called in this order. All take time
// linear in the text, and give UTF-8 for what Clean gave.
package joblog
