// Package ruletest reads and runs rule tests: files of events with the
// decisions that rules are expected to make about each.
package ruletest
