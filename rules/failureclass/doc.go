// Package failureclass determines the failure class of a job by its log. Rule files define
// classes, and include those of packs, which ship with Pipesteward: data in YAML files
// here, each class with lines that are of it and lines that are not, which tests check.
//
// Classes of packs are by the last telling line of a log: what an earlier line tells of was
// over, or tried again, when the command printed the later one. It is better to have no class
// than a wrong one.
//
// A log is matched with many patterns at once: one pass finds the texts of which every
// match contains one, and only the lines with such a text are matched with the pattern.
package failureclass
