// Package rulefile reads rule files: their YAML, by a schema that also
// generates the JSON Schema for editors, and their expressions. Every mistake
// is reported with file, line and column. Load returns the rules to evaluate.
// Parse also returns the positions of all parts, for lint.
//
// The package has more than 2,000 lines because it is one format: each key is defined once,
// with its default, its type, its documentation and its mistakes.
package rulefile
