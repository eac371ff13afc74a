package rules

import "slices"

// Prices say what a minute of a runner's time costs, for reports. The zero value has none.
type Prices struct {
	Currency string // as people write it before an amount, such as EUR
	Runners  []RunnerPrice
}

// RunnerPrice is the price of the runners that have a tag.
type RunnerPrice struct {
	Tag    string  // "": all runners
	Minute float64 // the price of a minute
}

// Prices returns the prices that a file sets.
func (rs *Rules) Prices() Prices { return rs.prices }

// Minute returns the price of a minute of a runner with some tags: that of the first entry
// which is for it; ok is false if none is.
func (p Prices) Minute(tags []string) (price float64, ok bool) {
	i := slices.IndexFunc(p.Runners, func(r RunnerPrice) bool { return r.Tag == "" || slices.Contains(tags, r.Tag) })
	if i < 0 {
		return 0, false
	}
	return p.Runners[i].Minute, true
}
