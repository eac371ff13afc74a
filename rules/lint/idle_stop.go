package lint

var idleStop = Check{
	ID: "idle-stop",
	Doc: `A rule that only has ` + "`stop: true`" + ` keeps the rules after it from what it matches, and there is
none after it for its kind of events. Move it before the rules that it is to stop; in a
directory, files are read in the order of their names.`,
	all: func(every []*pass) {
		last := map[string]int{} // position of the last rule for each kind of events
		for i, p := range every {
			last[p.rule.On] = i
		}
		for i, p := range every {
			if p.rule.OnlyStops() && last[p.rule.On] == i {
				p.warnAt(p.rule.Node, "only stops the rules after it, and there is none for %s events: move it before those that it is to stop", p.rule.On)
			}
		}
	},
}
