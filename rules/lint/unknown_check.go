package lint

// unknownCheck is reported where comments are read.
var unknownCheck = Check{
	ID:  "unknown-check",
	Doc: "A comment `# pipesteward: disable=ID` names a check that does not exist.",
}
