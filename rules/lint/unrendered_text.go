package lint

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/hint"
	"github.com/pipesteward/pipesteward/rules/schema"
)

var unrenderedText = Check{
	ID: "unrendered-text",
	Doc: `A text of a notification, in a rule or in ` + "`templates`" + `, has a CI/CD variable, or an expression in other brackets than
{{ }}. Neither is replaced: people read it as it is.

    text: "$CI_JOB_NAME failed on ${{ job.ref }}"

Write ` + "`{{ job.name }} failed on {{ job.ref }}`" + `.`,
	rule: func(p *pass) {
		notify := schema.Value(p.rule.Node, "notify")
		if notify == nil {
			return
		}
		for _, entry := range schema.Resolve(notify).Content {
			for _, key := range []string{"text", "resolved"} {
				if text := schema.Value(schema.Resolve(entry), key); text != nil {
					p.unrendered(schema.Resolve(text))
				}
			}
		}
	},
	templates: func(p *pass) {
		for _, template := range schema.Pairs(p.rule.Node) {
			template = schema.Resolve(template)
			if template.Kind != yaml.MappingNode {
				p.unrendered(template)
				continue
			}
			for _, text := range schema.Pairs(template) { // of each language
				p.unrendered(schema.Resolve(text))
			}
		}
	},
}

// unrendered warns of the parts of a text that look as if they were replaced.
func (p *pass) unrendered(text *yaml.Node) {
	for _, at := range unrendered.FindAllStringSubmatchIndex(text.Value, -1) {
		from, to := at[2], at[3]
		if from < 0 { // the second alternative matched
			from, to = at[4], at[5]
		}
		found := text.Value[from:to]
		line, column := p.file.Position(text, len([]rune(text.Value[:from])))
		p.warn(line, column, "`"+found+"` is sent as it is: write "+rendered(found))
		if strings.HasPrefix(found, "{%") {
			break // of a block, the first part says it all
		}
	}
}

// unrendered matches what looks as if it were replaced in a text.
var unrendered = regexp.MustCompile(`(\$\{?(?:CI|GITLAB)_[A-Z_]+\}?|\{%.*?%\}|\$\{\{)|(?:^|[^{$])(\{ ?(?:job|pipeline|project|commit|user|merge_request)\.[\w.]+ ?\})(?:[^}]|$)`)

// rendered returns what to write in its place.
func rendered(found string) string {
	name := strings.Trim(found, "${} ")
	switch {
	case strings.HasPrefix(found, "{%"):
		return `{{ condition ? "a text" : "another" }}`
	case found == "${{":
		return "{{, without the $"
	case strings.HasPrefix(found, "{"):
		return "{{ " + name + " }}"
	}
	if value := hint.Variable(name); value != "" {
		return "{{ " + value + " }}"
	}
	return "{{ }} with a field of the event, like {{ job.name }}"
}
