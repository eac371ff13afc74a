package lint

// unknownCheck is reported by disabledHere, which reads the comments.
var unknownCheck = Check{
	ID:  "unknown-check",
	Doc: "A comment `# pipesteward: disable=ID` names a check that does not exist.",
}
