package expression

// FunctionDoc is the documentation of a function.
type FunctionDoc struct {
	Name           string
	Call           string // the call with its parameters
	Returns        string
	Fields         string // the type whose fields are listed at the end
	RequestsGitLab bool
	NeedsJob       bool
}

// FunctionDocs returns the functions that expressions may call.
func FunctionDocs() []FunctionDoc {
	docs := make([]FunctionDoc, len(functions))
	for i, f := range functions {
		docs[i] = FunctionDoc{f.name, f.name + "(" + f.arguments + ")", f.doc, f.fields, f.request != "", f.ofJob != ""}
	}
	return docs
}
