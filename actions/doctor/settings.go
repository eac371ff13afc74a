package doctor

import "context"

// checkSettings tells which settings `serve` does not start with, and which have no
// effect, as far as no other check is about them.
func checkSettings(_ context.Context, x *exam) []Finding {
	var found []Finding
	for _, err := range x.SettingErrs {
		found = append(found, one(Problem, oneLine(err)+"; `serve` does not start", "")...)
	}
	for _, text := range x.NoSettings {
		found = append(found, one(Warning, text, "correct its name, or remove it")...)
	}
	if len(found) == 0 {
		return ok("all can be used")
	}
	return found
}
