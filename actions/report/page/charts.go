package page

import (
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-analyze/charts"

	"github.com/pipesteward/pipesteward/actions/report"
)

// Sizes of charts, in the units of their pictures, which are scaled to the page.
const (
	chartWidth  = 960
	chartHeight = 260
)

// The colours of charts can be read on a light page and on a dark one.
var (
	passedColour   = charts.ColorFromHex("#2e9e6b")
	failedColour   = charts.ColorFromHex("#d9534f")
	canceledColour = charts.ColorFromHex("#c98a1b")
	openColour     = charts.ColorFromHex("#9aa3ad")
	textColour     = charts.ColorFromHex("#7d8590")

	theme = charts.MakeTheme(charts.ThemeOption{
		BackgroundColor: charts.ColorTransparent, TextColor: textColour, AxisStrokeColor: textColour, AxisSplitLineColor: textColour.WithAlpha(60),
		SeriesColors: []charts.Color{passedColour, failedColour, canceledColour, openColour},
	})
)

// chartsOf returns the charts of a report: those for which it has data.
func chartsOf(r report.Report) (list []Chart, err error) {
	list = []Chart{}
	add := func(title, about string, labels, names []string, values [][]float64) {
		if err != nil || !anyPositive(values) {
			return
		}
		var svg template.HTML
		if svg, err = stacked(labels, names, values); err == nil {
			list = append(list, Chart{title, about, svg})
		}
	}
	results := []string{"passed", "failed again", "canceled", "without a result"}

	days := make([]string, len(r.Days))
	byDay := make([][]float64, len(results))
	for i := range byDay {
		byDay[i] = make([]float64, len(r.Days))
	}
	for i, d := range r.Days {
		days[i] = d.Date[len("2026-"):]
		byDay[0][i], byDay[1][i], byDay[2][i], byDay[3][i] = float64(d.Retries.Passed), float64(d.Retries.Failed), float64(d.Retries.Canceled), float64(d.Retries.Open)
	}
	add("Retries a day", "By the day on which they were decided, in UTC.", days, results, byDay)

	minutes := [][]float64{make([]float64, len(r.Days)), make([]float64, len(r.Days))}
	for i, d := range r.Days {
		minutes[0][i], minutes[1][i] = d.Retries.PassedRuns.Seconds/60, d.Retries.FailedAgain.Seconds/60
	}
	add("Minutes of runner time a day", "Of the new runs. What those took that failed again was wasted.", days, results[:2], minutes)

	delays := make([]string, len(r.Delays))
	byDelay := [][]float64{make([]float64, len(r.Delays)), make([]float64, len(r.Delays))}
	for i, d := range r.Delays {
		delays[i], byDelay[0][i], byDelay[1][i] = report.DelayText(d), float64(d.Passed), float64(d.Failed)
	}
	add("Which delay helps", "Retries by the time from the end of the run that failed until the start of the new one.", delays, results[:2], byDelay)
	return list, err
}

// tick writes a number at an axis, with at most two decimals.
func tick(v float64) string {
	return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
}

func anyPositive(values [][]float64) bool {
	for _, series := range values {
		for _, v := range series {
			if v > 0 {
				return true
			}
		}
	}
	return false
}

// few is up to which count the axis would have fractions.
const few = 5

// highest returns the height of the highest bar, and whether all values are whole numbers.
func highest(values [][]float64) (top float64, whole bool) {
	totals := make([]float64, len(values[0]))
	whole = true
	for _, series := range values {
		for i, v := range series {
			totals[i] += v
			whole = whole && v == math.Trunc(v)
		}
	}
	return slices.Max(totals), whole
}

// stacked draws bars, each of which has the values of all names on top of each other. No text
// in it comes from outside: labels and names are ours.
func stacked(labels, names []string, values [][]float64) (template.HTML, error) {
	opt := charts.NewBarChartOptionWithData(values)
	stack := true
	opt.StackSeries, opt.Theme = &stack, theme
	opt.ValueFormatter = tick
	opt.ValueAxis[0].Min = charts.Ptr(0.0)
	switch top, whole := highest(values); {
	case whole && top <= few:
		opt.ValueAxis[0].Unit = 1
	case top < 1: // of a minute: the library would draw no bar
		opt.ValueAxis[0].Max = charts.Ptr(1.0)
	}
	opt.CategoryAxis.Labels = labels
	opt.Legend.SeriesNames = names
	opt.Legend.Offset = charts.OffsetRight
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: chartWidth, Height: chartHeight})
	if err := p.BarChart(opt); err != nil {
		return "", err
	}
	svg, err := p.Bytes()
	if err != nil {
		return "", err
	}
	return template.HTML(strings.TrimSpace(string(svg))), nil //nolint:gosec // no text in it comes from outside
}
