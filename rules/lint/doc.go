// Package lint warns about rule files that are valid but may not do what their
// author intended: rules that never match, conditions that are always true,
// retries without a limit on failure reasons. Each check has a file, an id and
// a documentation text.
package lint
