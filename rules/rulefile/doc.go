// Package rulefile reads rule files: their YAML, by a schema that also gives the
// JSON Schema for editors, and their expressions. Every mistake comes back with its
// file, line and column. Load returns the rules to evaluate; Parse keeps the place of
// everything, for lint.
package rulefile
