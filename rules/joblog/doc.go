// Package joblog reads job logs. Clean returns what a terminal would show,
// Excerpt the relevant lines, and Line the most informative line. They are
// called in this order; package redact masks the secrets between Clean and
// Excerpt. All functions take time linear in the text, and return UTF-8 for a
// cleaned text.
package joblog
