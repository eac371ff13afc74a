package failureclass

import (
	_ "embed"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"
)

//go:embed common.yaml
var common []byte

// packs reads each pack when it is first included.
var packs = map[string]func() ([]Sample, error){
	"common": sync.OnceValues(func() ([]Sample, error) { return readPack(common) }),
}

// Packs lists the names of the packs, sorted.
func Packs() []string { return slices.Sorted(maps.Keys(packs)) }

// Sample is a class of a pack with lines that show what is of it.
type Sample struct {
	Class
	Matches []string // lines of the class
	Others  []string // lines that are not of it
}

// Pack returns the classes of a pack, in their order.
func Pack(name string) ([]Sample, error) {
	read, ok := packs[name]
	if !ok {
		return nil, fmt.Errorf("there is no pack of failure classes %q", name)
	}
	return read()
}

// InPack returns the class of a pack with a name, and the name of the pack; nil if there is
// none.
func InPack(name string) (class *Class, pack string) {
	for _, pack := range Packs() {
		classes, err := Pack(pack)
		i := slices.IndexFunc(classes, func(s Sample) bool { return s.Name == name })
		if err == nil && i >= 0 {
			return &classes[i].Class, pack
		}
	}
	return nil, ""
}

// InPacks returns the names of the classes of all packs.
func InPacks() (names []string) {
	for _, pack := range Packs() {
		classes, err := Pack(pack)
		if err != nil {
			continue
		}
		for _, c := range classes {
			names = append(names, c.Name)
		}
	}
	return names
}

// entry is a class of a pack, as its file has it.
type entry struct {
	Name    string   `yaml:"name"`
	Doc     string   `yaml:"doc"`
	Retry   *bool    `yaml:"retry"` // a retry helps; without it: true
	Log     []string `yaml:"log"`
	Within  int      `yaml:"within"` // other lines that may follow
	Unless  []string `yaml:"unless"` // texts, see Class
	Matches []string `yaml:"matches"`
	Others  []string `yaml:"others"`
}

// lineStart matches the start of a line, and what BuildKit puts before each line: the step and
// its time, or in the summary of a failed build only that.
const lineStart = `^(?:(?:#\d+ )?\d+\.\d+ )?`

// atLineStart returns the expression of a pattern for lines, whose ^ is lineStart.
func atLineStart(pattern string) string {
	if rest, ok := strings.CutPrefix(pattern, "^"); ok {
		pattern = lineStart + rest
	}
	return "(?m)" + pattern
}

// readPack reads the file of a pack.
func readPack(file []byte) ([]Sample, error) {
	var entries []entry
	if err := yaml.Load(file, &entries, yaml.WithKnownFields()); err != nil {
		return nil, fmt.Errorf("pack of failure classes: %w", err)
	}
	all := make([]Sample, len(entries))
	for i, e := range entries {
		s := Sample{Class: Class{Name: e.Name, Doc: e.Doc, Ending: true, Within: e.Within, Unless: e.Unless, Hopeless: e.Retry != nil && !*e.Retry}, Matches: e.Matches, Others: e.Others}
		for _, pattern := range e.Log {
			re, err := regexp.Compile(atLineStart(pattern))
			if err != nil {
				return nil, fmt.Errorf("class %s of a pack: %w", e.Name, err)
			}
			s.Log = append(s.Log, re)
		}
		all[i] = s
	}
	return all, nil
}
