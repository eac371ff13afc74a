// Package lint warns of what loads and yet may not do what its author meant: rules
// that never match, conditions that are always true, retries that nothing limits.
package lint
