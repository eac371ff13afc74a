package rulefile

import (
	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/schema"
	"github.com/pipesteward/pipesteward/rules/templates"
)

// overrides reads the texts that stand in place of the default ones, for the rules of all
// files.
func (rd *reader) overrides() schema.Schema {
	var known schema.Fields
	for _, d := range templates.Docs {
		known = append(known, schema.Key(d.Name, d.Is+". The default is like: "+d.Default, rd.override(d.Name)))
	}
	return schema.MappingWithHints("templates", known, inTemplates)
}

// override reads one of them: a text for all languages, or a mapping of languages to texts.
func (rd *reader) override(name string) schema.Schema {
	byLanguage := map[string]*expression.Template{}
	text := func(languages ...string) schema.Schema {
		return schema.Schema{
			Read: func(f *schema.Document, n *yaml.Node, what string) {
				if schema.IsText(n) && n.Value == "" {
					f.FailAt(n, "%s is empty: write a text, or leave it out for the default one", what)
					return
				}
				// They may read what the text of a rule for job events may.
				t := rd.parseTemplate(f, n, expression.Purpose{On: event.KindJob, HasJob: true, HasOutcome: true, Classes: rd.set.classes})
				for _, language := range languages {
					byLanguage[language] = &t
				}
			},
			JSON: func() schema.JSON { return schema.JSON{"type": "string", "minLength": 1} },
		}
	}
	var known schema.Fields
	for _, language := range event.Languages {
		known = append(known, schema.Key(language, "The text where the `language` is "+language+".", text(language)))
	}
	forAll, forEach := text(event.Languages...), schema.Mapping("a template", known)
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if first := rd.set.places["template "+name]; first != "" {
				f.FailAt(n, "the template %q is already defined in %s: it is for the rules of all files, so only one of them can define it", name, first)
				return
			}
			rd.set.places["template "+name] = f.Place(n)
			if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
				f.FailAt(n, "%s is empty: write a text, or leave it out for the default one", what)
			} else if n.Kind == yaml.MappingNode && !f.Begins(n, "{{") {
				forEach.Read(f, n, what)
			} else {
				forAll.Read(f, n, what)
			}
			rd.set.templates[name] = byLanguage
		},
		JSON: func() schema.JSON {
			each := forEach.JSON()
			each["minProperties"] = 1
			return schema.JSON{"anyOf": []schema.JSON{forAll.JSON(), each}}
		},
	}
}
