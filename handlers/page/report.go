package page

import "net/url"

// report is what the API has of GET /api/v1/report/page.
type report struct {
	Title   string   `json:"title"`
	Summary []string `json:"summary"`
	Charts  []struct {
		Title string `json:"title"`
		About string `json:"about"`
		SVG   string `json:"svg"`
	} `json:"charts"`
	Tables []struct {
		Title string `json:"title"`
		Rows  []struct {
			Name, Retries, Passed, Saved, Wasted, Cost, Outcomes string
		} `json:"rows"`
	} `json:"tables"`
	Runners []struct {
		Name         string `json:"name"`
		FailedBefore string `json:"failed_before"`
		Passed       string `json:"passed"`
	} `json:"runners"`
	DryRun bool   `json:"dry_run"`
	Cost   bool   `json:"cost"`
	JSON   string `json:"-"` // the address of the report for programs
}

// reportSpans are the spans of time that can be selected.
var reportSpans = []struct{ Value, Name string }{{"1d", "a day"}, {"7d", "7 days"}, {"30d", "30 days"}, {"90d", "90 days"}}

// reportView is the data of the template.
type reportView struct {
	report
	Spans []struct{ Value, Name string }
	Since string
	Rules []string
}

func readReport(r *request) (any, error) {
	v := reportView{Spans: reportSpans, Since: "7d"}
	query := only(r.Values, "since", "rule", "project", "dry_run")
	if since := query.Get("since"); since != "" {
		v.Since = since
	}
	query.Set("since", v.Since)
	if err := r.get("/api/v1/report/page", query, &v.report); err != nil {
		return nil, err
	}
	v.JSON = (&url.URL{Path: "/api/v1/report", RawQuery: query.Encode()}).String()
	var err error
	v.Rules, err = ruleNames(r)
	return v, err
}
