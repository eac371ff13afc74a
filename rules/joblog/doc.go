// Package joblog reads job logs. Clean returns what a terminal would show, Excerpt
// the lines that matter, and Line the one that says most. They are called in this
// order, after package redact has hidden the secrets of the cleaned text. All take
// time linear in the text, and return UTF-8 for what Clean returned.
package joblog
