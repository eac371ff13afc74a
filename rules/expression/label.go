package expression

import "strings"

// maxLabel is how many characters of a value the label of a link shows.
const maxLabel = 150

// markLabels marks the expressions in the labels of links, as Slack's mrkdwn has them:
// <target|label>, https://docs.slack.dev/messaging/formatting-message-text/#linking-urls. A
// target has neither white space nor markup, and a label ends with >.
func (t Template) markLabels() {
	const (
		outside = iota
		inTarget
		inLabel
	)
	where := outside
	var labels []int // indexes of the parts in the label that has begun
	for i, p := range t.parts {
		if p.program != nil {
			if where == inLabel {
				labels = append(labels, i)
			}
			continue
		}
		for _, r := range p.text {
			switch {
			case r == '<':
				where, labels = inTarget, nil
			case where == inLabel && r == '>':
				for _, l := range labels {
					t.parts[l].label = true
				}
				where = outside
			case where == inTarget && r == '|':
				where = inLabel
			case where == inTarget && strings.ContainsRune("> \t\n", r):
				where = outside
			}
		}
	}
}

// labelOf returns a value as a label shows it: on one line, shortened.
func labelOf(value string) string {
	const most = 8 * maxLabel // no more white space is searched
	short := value[:min(len(value), most)]
	line := []rune(strings.Join(strings.Fields(strings.ToValidUTF8(short, "")), " "))
	if len(line) <= maxLabel && len(short) == len(value) {
		return string(line)
	}
	return strings.TrimSpace(string(line[:min(len(line), maxLabel-1)])) + "…"
}
