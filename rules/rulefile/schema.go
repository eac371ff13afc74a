package rulefile

// Schema returns the JSON Schema (draft 2020-12) of rule files, generated from
// the schemas that the loader uses. It accepts every file that loads, except
// that it requires quotes around a text that looks like a number and none
// around a number. It does not find mistakes in expressions and between rules;
// only the loader does. errorMessage is not part of the standard: editors show
// it in place of their own message.
func Schema() ([]byte, error) {
	return (&reader{set: newSet()}).ruleFile().JSON().Publish("A rule file of Pipesteward. Made by `pipesteward schema`.")
}
