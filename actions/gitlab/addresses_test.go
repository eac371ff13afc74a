package gitlab_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// addressClient returns a client of the base URL that has sent no request yet,
// and its log.
func addressClient(t *testing.T, base string, aliases ...string) (*gitlab.Client, *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{}
	c, err := gitlab.New(gitlab.Config{
		BaseURL: base, Aliases: aliases, Token: gitlabtest.DefaultToken, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, log
}

func TestForeignAddress(t *testing.T) {
	const internal, external, rooted = "http://gitlab.internal:8080", "https://gitlab.example.com", "https://example.com/gitlab"
	const staging = "https://staging.example.com"
	for _, c := range []struct {
		name                 string
		base                 string
		aliases              []string
		instance, page, path string
		foreign              string
	}{
		{"the configured URL", external, nil, external, external + "/platform/shop", "platform/shop", ""},
		{"in capitals, with the default port and a slash", external, nil, "HTTPS://GitLab.example.com:443/", external + ":443/platform/shop/", "platform/shop", ""},
		{"without a header", external, nil, "", external + "/platform/shop", "platform/shop", ""},
		{"without a project", external, nil, external, "", "", ""},
		{"with neither", external, nil, "", "", "", ""},
		{"with a header that is no URL", external, nil, "gitlab.example.com", external + "/platform/shop", "platform/shop", ""},
		{"with a repository's page only", external, nil, "", external + "/platform/shop", "", ""},
		{"an alias", internal, []string{external + "/"}, external, external + "/platform/shop", "platform/shop", ""},
		{"IPv6", "http://[::1]:80", nil, "http://[::1]", "http://[::1]/platform/shop", "platform/shop", ""},
		{"a relative URL root, which the header lacks", rooted, nil, "https://example.com", rooted + "/platform/shop", "platform/shop", ""},
		{"a relative URL root and a repository's page only", rooted, nil, "https://example.com", rooted + "/platform/shop", "", ""},

		{"another host", external, nil, staging, staging + "/platform/shop", "platform/shop", staging},
		{"another header alone", external, nil, staging, "", "", staging},
		{"another project's page alone", external, nil, "", staging + "/platform/shop", "platform/shop", staging},
		{"another header than its project's page", external, nil, staging, external + "/platform/shop", "platform/shop", staging},
		{"another project's page than its header", external, nil, external, staging + "/platform/shop", "platform/shop", staging},
		{"another scheme", external, nil, "http://gitlab.example.com", "", "", "http://gitlab.example.com"},
		{"another port", external, nil, external + ":8443", "", "", external + ":8443"},
		{"a longer host", external, nil, external + ".evil.example", "", "", external + ".evil.example"},
		{"another relative URL root", rooted, nil, "https://example.com", "https://example.com/gitlab-staging/platform/shop", "platform/shop", "https://example.com/gitlab-staging"},
		{"the host's root, of an instance below it", rooted, nil, "https://example.com", "https://example.com/platform/shop", "platform/shop", "https://example.com"},
		{"a root that begins alike, by a repository's page only", rooted, nil, "", "https://example.com/gitlab2/platform/shop", "", "https://example.com/gitlab2/platform/shop"},
		{"not an alias any more", internal, nil, external, external + "/platform/shop", "platform/shop", external},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, _ := addressClient(t, c.base, c.aliases...)
			foreign, certain := client.ForeignAddress(c.instance, c.page, c.path)
			if foreign != c.foreign {
				t.Errorf("foreign address is %q, want %q", foreign, c.foreign)
			}
			if want := c.foreign == ""; certain != want {
				t.Errorf("certain is %v before GitLab's address was read, want %v", certain, want)
			}
		})
	}
}

func TestAliasIsABaseURL(t *testing.T) {
	_, err := gitlab.New(gitlab.Config{BaseURL: "https://gitlab.example.com", Aliases: []string{"gitlab.internal"}, Token: "t", Now: time.Now})
	if err == nil || !strings.Contains(err.Error(), `alias`) || !strings.Contains(err.Error(), `"gitlab.internal" does not begin with https://`) {
		t.Errorf("error is %v", err)
	}
}

// GitLab returns its own address, with its relative URL root.
func TestLearnAddress(t *testing.T) {
	for _, external := range []string{"https://gitlab.example.com", "https://example.com/gitlab"} {
		gl := gitlabtest.Start(t, gitlabtest.Options{Now: time.Now, ExternalURL: external})
		client, log := addressClient(t, gl.URL())
		page := external + "/platform/shop"
		if foreign, certain := client.ForeignAddress("", page, "platform/shop"); foreign != external || certain {
			t.Errorf("before GitLab's address was read: %q, certain %v", foreign, certain)
		}
		if err := client.LearnAddress(t.Context()); err != nil {
			t.Fatal(err)
		}
		if foreign, certain := client.ForeignAddress("", page, "platform/shop"); foreign != "" || !certain {
			t.Errorf("after GitLab's address was read: %q, certain %v", foreign, certain)
		}
		for range 3 {
			if foreign, certain := client.ForeignAddress("https://staging.example.com", "", ""); foreign != "https://staging.example.com" || !certain {
				t.Errorf("another GitLab: %q, certain %v", foreign, certain)
			}
		}
		if n := strings.Count(log.String(), "--gitlab-alias"); n != 1 || !strings.Contains(log.String(), "https://staging.example.com") {
			t.Errorf("the foreign address is logged %d times, want once:\n%s", n, log)
		}
	}
}

// A GitLab that is down at the start gets requests until it answers; whether an
// address is foreign is certain then.
func TestFollowAddress(t *testing.T) {
	const external = "https://gitlab.example.com"
	gl := gitlabtest.Start(t, gitlabtest.Options{Now: time.Now, ExternalURL: external})
	gl.Fail(gitlabtest.Fault{Path: "/user", Status: http.StatusBadGateway, Times: -1})
	log := &bytes.Buffer{}
	ctx, stop := context.WithCancel(t.Context())
	var waits []time.Duration
	client, err := gitlab.New(gitlab.Config{
		BaseURL: gl.URL(), Token: gitlabtest.DefaultToken, Now: time.Now, Log: slog.New(slog.NewTextHandler(log, nil)),
		Sleep: func(ctx context.Context, d time.Duration) error {
			if d < time.Second {
				return nil // between the tries of one call
			}
			switch waits = append(waits, d); {
			case len(waits) == 3:
				gl.ClearFaults()
			case len(waits) == 4:
				stop()
			}
			return ctx.Err()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	client.FollowAddress(ctx)
	if want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, time.Hour}; !slices.Equal(waits, want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
	if foreign, certain := client.ForeignAddress(external, "", ""); foreign != "" || !certain {
		t.Errorf("GitLab's own address is foreign: %q, certain %v", foreign, certain)
	}
	if n := strings.Count(log.String(), "WARN"); n != 1 {
		t.Errorf("%d warnings, want one:\n%s", n, log)
	}
}
