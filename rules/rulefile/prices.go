package rulefile

import (
	"math"
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// maxPrice bounds the price of a minute.
const maxPrice = 1_000_000

// currencyPattern matches how a currency is written before an amount.
var currencyPattern = regexp.MustCompile(`^\S{1,8}$`)

// pricesSchema reads `prices`.
func (s *set) pricesSchema() schema.Schema {
	p := &s.prices
	keys := schema.Mapping("prices", schema.Fields{
		schema.Key("currency", "How amounts begin, like EUR or $.", schema.Required(schema.Matching(&p.Currency, currencyPattern, "a currency is a word of up to 8 characters, like EUR or $"), "`currency` is missing, like EUR")),
		schema.Key("runners", "What a minute of a runner's time costs: the first entry counts whose tag the runner has.", schema.Required(schema.List(&p.Runners, 1, runnerPrice), "`runners` is missing, like [{tag: gpu, minute: 0.5}, {minute: 0.008}]")),
	})
	return s.unique(schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			keys.Read(f, n, what)
			for i, r := range p.Runners {
				earlier := slices.IndexFunc(p.Runners[:i], func(e rules.RunnerPrice) bool { return e.Tag == "" || e.Tag == r.Tag })
				if earlier < 0 {
					continue
				}
				at := schema.Resolve(schema.Value(n, "runners").Content[i])
				if p.Runners[earlier].Tag == r.Tag {
					f.FailAt(at, "entry %d of runners is for the same runners as entry %d", i+1, earlier+1)
				} else {
					f.FailAt(at, "entry %d of runners counts for no runner: entry %d, without a tag, is for all; move that to the end", i+1, earlier+1)
				}
			}
		},
		JSON: keys.JSON,
	})
}

func runnerPrice(p *rules.RunnerPrice) schema.Schema {
	return schema.Mapping("a price", schema.Fields{
		schema.Key("tag", "The tag of the runners with this price. Without it: all runners.", schema.Text(&p.Tag)),
		schema.Key("minute", "The price of a minute.", schema.Required(price(&p.Minute), "`minute` is missing: the price of a minute, like 0.008")),
	})
}

// price reads an amount of money.
func price(to *float64) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			amount, err := strconv.ParseFloat(n.Value, 64)
			if err != nil || math.IsNaN(amount) || amount < 0 || amount > maxPrice {
				f.FailAt(n, "%s must be a number from 0 to %d, like 0.008, not %q", what, maxPrice, n.Value)
				return
			}
			*to = amount
		},
		JSON: func() schema.JSON { return schema.JSON{"type": "number", "minimum": 0, "maximum": maxPrice} },
	}
}
