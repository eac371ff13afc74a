package expression

// FunctionDoc is what the documentation says of a function.
type FunctionDoc struct {
	Name       string
	Call       string // as people write it
	Gives      string
	Fields     string // the type whose fields end what it gives
	AsksGitLab bool
	NeedsJob   bool
}

// FunctionDocs are the functions that expressions may call.
func FunctionDocs() []FunctionDoc {
	docs := make([]FunctionDoc, len(functions))
	for i, f := range functions {
		docs[i] = FunctionDoc{f.name, f.name + "(" + f.arguments + ")", f.doc, f.fields, f.asks != "", f.ofJob != ""}
	}
	return docs
}
