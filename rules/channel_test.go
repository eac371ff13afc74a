package rules_test

import (
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/rules"
)

// TestCheckChannel: what Slack can't have is refused, with what to write.
func TestCheckChannel(t *testing.T) {
	t.Parallel()
	for channel, want := range map[string]string{
		"#ci": "", "ci": "", "#发布-1_b": "", "C024BE91L": "", "U024BE91L": "", "author": "", "#" + strings.Repeat("a", 80): "",
		"#a,#b": "is not one Slack channel", "#ops,": "is not one Slack channel", "##ci": "is not one Slack channel", "#ci!": "is not one Slack channel", "#my ci": "is not one Slack channel",
		"": "is empty", "#": "is empty", "@ada": "write the person's id",
		"#CI": `write "#ci"`, "Ops": `write "ops"`, "#" + strings.Repeat("a", 81): "80 characters at most",
	} {
		err := rules.CheckChannel(channel)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", channel, err, want)
		}
	}
}
