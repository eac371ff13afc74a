package rulefile

// Schema gives the JSON Schema (draft 2020-12) of rule files, made of the
// forms that the loader reads by. It takes what loads, but wants quotes around
// a text that looks like a number and none around a number. Mistakes in
// expressions, and in how rules go together, only the loader finds.
// errorMessage is not in the standard: editors show it in place of their own
// words.
func Schema() ([]byte, error) {
	return (&reader{set: newSet()}).ruleFile().JSON().Publish("A rule file of Pipesteward. Made by `pipesteward schema`.")
}
