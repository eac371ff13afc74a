// Package failureclass determines the failure class of a job by its log. Rule files define
// classes, and include those of packs, which ship with Pipesteward: data in YAML files
// here, each class with lines that are of it and lines that are not, which tests check.
//
// A log is matched with many patterns at once: one pass finds the texts of which every
// match contains one, and only the lines with such a text are matched with the pattern.
package failureclass
