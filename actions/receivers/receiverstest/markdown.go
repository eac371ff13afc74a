package receiverstest

import (
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extensionast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
)

var parser = goldmark.New(goldmark.WithExtensions(extension.Strikethrough, extension.Table)).Parser()

// render returns what people see of a text in Markdown: what is marked up stands
// between ‹ and ›, so that it differs from the same text without markup; and the links.
// Characters of no width are left out.
func render(markdown string) (seen string, links []Link) {
	source := []byte(markdown)
	var b strings.Builder
	_ = ast.Walk(parser.Parse(text.NewReader(source)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		mark := func() {
			if entering {
				b.WriteString("‹")
			} else {
				b.WriteString("›")
			}
		}
		switch n := n.(type) {
		case *ast.Text:
			if entering {
				b.Write(unescaped(n.Segment.Value(source)))
				if n.SoftLineBreak() || n.HardLineBreak() {
					b.WriteByte('\n')
				}
			}
		case *ast.String:
			if entering {
				b.Write(n.Value)
			}
		case *ast.Link:
			if entering {
				links = append(links, Link{labelOf(n, source), string(n.Destination)})
			}
		case *ast.Image:
			if entering {
				links = append(links, Link{labelOf(n, source), string(n.Destination)})
			}
		case *ast.AutoLink:
			if entering {
				b.Write(n.URL(source))
			}
		case *ast.RawHTML, *ast.HTMLBlock, *ast.CodeSpan, *ast.CodeBlock, *ast.FencedCodeBlock, *ast.Heading, *ast.Blockquote, *ast.List, *ast.ThematicBreak, *ast.Emphasis, *extensionast.Strikethrough, *extensionast.Table:
			mark()
		case *ast.Paragraph:
			if !entering {
				b.WriteByte('\n')
			}
		}
		return ast.WalkContinue, nil
	}) // the function returns no error
	return strings.TrimSpace(strings.ReplaceAll(b.String(), "\u200b", "")), links
}

// labelOf returns the text of a link.
func labelOf(n ast.Node, source []byte) string {
	var b strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		if t, ok := c.(*ast.Text); ok {
			b.Write(unescaped(t.Segment.Value(source)))
		}
	}
	return strings.ReplaceAll(b.String(), "\u200b", "")
}

// unescaped returns a text without the backslashes that escape punctuation.
func unescaped(raw []byte) []byte {
	var plain []byte
	for i := 0; i < len(raw); i++ {
		if raw[i] == '\\' && i+1 < len(raw) && strings.IndexByte("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", raw[i+1]) >= 0 {
			i++
		}
		plain = append(plain, raw[i])
	}
	return plain
}
