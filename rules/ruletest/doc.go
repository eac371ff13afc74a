// Package ruletest reads and runs rule tests: files of events, with what rules are
// expected to decide about each.
package ruletest
