// Package rulefile reads rule files: their YAML, by a schema that also
// generates the JSON Schema for editors, and their expressions. Every mistake
// is reported with file, line and column. Load returns the rules to evaluate.
// Parse also returns the positions of all parts, for lint.
package rulefile
