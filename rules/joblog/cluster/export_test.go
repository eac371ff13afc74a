package cluster

// MaskWhole is Mask, but it looks for parts of all kinds in all words.
func MaskWhole(line string) string {
	return maskIn(line, func(line string, at int) (from, to int) { return at, len(line) }, func(string) finder { return finders[0].finder })
}
