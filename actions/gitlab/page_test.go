package gitlab_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

func TestParsePage(t *testing.T) {
	t.Parallel()
	server := gitlabtest.Start(t, gitlabtest.Options{Now: time.Now, ExternalURL: "https://gitlab.example.com/gitlab"})
	client, err := gitlab.New(gitlab.Config{
		BaseURL: server.URL(), Aliases: []string{"https://old.example.com"}, Token: gitlabtest.DefaultToken, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	job, pipeline := gitlab.Page{Project: "platform/shop", Job: 1977}, gitlab.Page{Project: "platform/shop", Pipeline: 2366}
	for address, want := range map[string]gitlab.Page{
		"/platform/shop/-/jobs/1977":  job,
		"/platform/shop/-/jobs/1977/": job,
		"/platform/shop/-/jobs/1977?foo=https://other.example.com/-/pipelines/7#L12": job,
		"/platform/shop/-/jobs/1977/raw":                                             job,
		"/platform/shop/-/jobs/1977/artifacts/browse/pipelines/7":                    job,
		"/platform/shop/-/builds/1977":                                               job,
		"/platform/shop/builds/1977":                                                 job,
		"/platform/shop/jobs/1977":                                                   job,
		"/platform/shop/pipelines/2366":                                              pipeline,
		"/platform/shop/-/pipelines/2366/failures":                                   pipeline,
		"  https://old.example.com/platform/shop/-/pipelines/2366\n":                 pipeline,
		"HTTPS://Old.Example.COM:443/platform/shop/-/jobs/1977":                      job,
		"https://ann:secret@old.example.com/platform/shop/-/jobs/1977":               job,
		"https://gitlab.example.com/gitlab/platform/shop/-/jobs/1977":                job,
		"https://gitlab.example.com/gitlab/a/b/c/d/-/jobs/7":                         {Project: "a/b/c/d", Job: 7},
		"https://gitlab.example.com/gitlab/builds-of/my-jobs/-/pipelines/7/builds":   {Project: "builds-of/my-jobs", Pipeline: 7},
	} {
		if strings.HasPrefix(address, "/") {
			address = server.URL() + address
		}
		got, err := client.ParsePage(t.Context(), address)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", address, err, diff)
		}
	}
	for address, want := range map[string]string{
		"":                                      "is no address",
		"1977":                                  "is no address",
		"platform/shop/-/jobs/1977":             "is no address",
		"ftp://old.example.com/a/b/-/jobs/1":    "is no http(s) address",
		"https://old.example.com/platform/shop": "is no page of a job or a pipeline",
		"https://old.example.com/platform/shop/-/issues/1":                  "is no page of a job or a pipeline",
		"https://old.example.com/platform/shop/-/jobs":                      "is no page of a job or a pipeline",
		"https://old.example.com/platform/shop/-/jobs/0":                    "0 is no id",
		"https://old.example.com/platform/shop/-/jobs/99999999999999999999": "is no id",
		"https://gitlab.com/platform/shop/-/jobs/1977":                      "is a page of another GitLab",
		"https://gitlab.example.com/platform/shop/-/jobs/1977":              "is a page of another GitLab",
		"http://old.example.com/platform/shop/-/jobs/1977":                  "--gitlab-alias",
		"https://ann:secret@other.example.com/a/b/-/jobs/1":                 "other.example.com is a page of another GitLab",
	} {
		_, err := client.ParsePage(t.Context(), address)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: error %v, want one that says %q", address, err, want)
		}
	}
}
