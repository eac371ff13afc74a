package backtest

import "github.com/pipesteward/pipesteward/rules/event"

// Rebuilt returns the events that a Backtest evaluates rules on, in order.
func (b *Backtest) Rebuilt() (all []event.Event) {
	for i, t := range b.timelines {
		for _, m := range b.moments[i] {
			all = append(all, t.event(m, b.Events))
		}
	}
	return all
}

// UnknownFields are the fields of events that a backtest says it does not know.
var UnknownFields = unknownFields
