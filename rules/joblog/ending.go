package joblog

import "strings"

// Ending returns the parts of a log that say why the job failed: what the last command of
// its script printed, and what the runner printed after the script. A script ends with the
// first command that fails, so what those before it printed, which passed, is left out, and
// so is the output of after_script, which fails no job. If the log shows no command, the
// first part begins with the log. The text must have been cleaned.
func Ending(text string) []string {
	from, to := 0, len(text) // the last command
	var parts []string
	after := -1 // where the part after the script begins that is being read; -1: none, or after_script is
	for at := 0; at < len(text); {
		end := len(text)
		if n := strings.IndexByte(text[at:], '\n'); n >= 0 {
			end = at + n + 1
		}
		switch line := text[at:end]; {
		case hasAnyPrefix(line, postScript) || strings.HasPrefix(line, "ERROR: Job failed"):
			to = min(to, at)
			isScript := strings.HasPrefix(line, postScript[0])
			if after >= 0 && isScript {
				parts, after = append(parts, text[after:at]), -1
			} else if after < 0 && !isScript {
				after = at
			}
		case to == len(text) && strings.HasPrefix(line, "$ "):
			from = at
		}
		at = end
	}
	if after >= 0 {
		parts = append(parts, text[after:])
	}
	if from < to {
		parts = append([]string{text[from:to]}, parts...)
	}
	return parts
}
