package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// TestDeliveriesOfServe: what GitLab's Test button sends can be looked at, also what was
// refused, and never a secret.
func TestDeliveriesOfServe(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	p := env.run()
	body := env.gitlab.JobHookBody(env.stuckJob().ID)
	p.postWith("a wrong token", body)
	p.post(body)
	p.post(body)
	p.post([]byte(`{"object_kind":"push"}`))
	code, text := p.get("/api/v1/deliveries")
	var page admin.DeliveriesPage
	if err := json.Unmarshal([]byte(text), &page); err != nil || code != http.StatusOK {
		t.Fatalf("deliveries: %d %s", code, text)
	}
	var results []string
	for _, d := range page.Deliveries {
		results = append(results, d.Result)
	}
	if got, want := strings.Join(results, " "), "ignored duplicate stored unauthorized"; got != want {
		t.Errorf("deliveries are %s, want %s", got, want)
	}
	if d := page.Deliveries[2]; d.Project != "platform/shop" || d.Kind != event.KindJob || d.Status != "failed" || d.Code != http.StatusAccepted || d.JobName != "rspec" {
		t.Errorf("the stored delivery is %+v", d)
	}
	if n := strings.Count(p.logged(), "the first delivery of a project"); n != 1 {
		t.Errorf("%d first deliveries are logged, want 1:\n%s", n, p.tail())
	}
	for _, secret := range []string{"a wrong token", testSecret} {
		if strings.Contains(text+p.logged(), secret) {
			t.Errorf("%q is shown", secret)
		}
	}
}

// TestDeliveriesCommand: a person who presses Test sees what came and what became of it.
func TestDeliveriesCommand(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	p := env.run()
	p.wants([]string{"deliveries"}, "no deliveries")
	job := env.stuckJob()
	p.postWith("a wrong token", env.gitlab.JobHookBody(job.ID))
	p.post(env.gitlab.JobHookBody(job.ID))
	p.wants([]string{"deliveries"}, "202 stored", "401 unauthorized", "platform/shop", fmt.Sprintf("/rspec (%d)", job.ID), "failed", "secret token is none of those", "(from 127.0.0.1")
	for filter, want := range map[string][]string{
		"--project=platform/shop": {event.DeliveryStored}, "--project=platform/no": nil, "--result=unauthorized": {event.DeliveryUnauthorized}, "--limit=1": {event.DeliveryStored},
	} {
		var got []string
		for _, d := range list[event.Delivery](p, "deliveries", filter) {
			got = append(got, d.Result)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s lists %q, want %q", filter, got, want)
		}
	}
	p.refuses([]string{"deliveries", "--result", "accepted"}, "it must be one of stored, duplicate")
	for _, args := range [][]string{{"deliveries", "x"}, {"deliveries", "--limit", "0"}, {"deliveries", "--project", ""}} {
		if code, _, errs := p.output(args...); code != 2 || errs == "" {
			t.Errorf("%q: exit status %d, %q, want 2 and why", args, code, errs)
		}
	}
}

// TestFollowDeliveries: each delivery is printed once, when it comes.
func TestFollowDeliveries(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	p := env.run()
	before, last := env.stuckJob(), env.stuckJob()
	first := env.gitlab.JobHookBody(before.ID) // once the job is retried, it is another one
	p.post(first)
	p.post(env.gitlab.JobHookBody(last.ID))
	var out, errs lines
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"pipesteward", "deliveries", "-f", "--json", "--interval", "10ms", "--limit", "1", "--project", "platform/shop", "--admin-url", p.admin}, &out, &errs)
	}()
	printed := func() (all []string) {
		for _, line := range out.all() {
			var d event.Delivery
			if json.Unmarshal([]byte(line), &d) == nil {
				all = append(all, fmt.Sprintf("%d %s", d.Job, d.Result))
			}
		}
		return all
	}
	want := []string{fmt.Sprint(last.ID, " stored")}
	is := func() bool { return strings.Join(printed(), ", ") == strings.Join(want, ", ") }
	p.eventually("the last delivery is printed", is)
	p.postWith("a wrong token", first)
	p.post(first)
	want = append(want, fmt.Sprint(before.ID, " duplicate"))
	p.eventually("the next one is", is)
	fresh := env.stuckJob()
	p.post(env.gitlab.JobHookBody(fresh.ID))
	want = append(want, fmt.Sprint(fresh.ID, " stored"))
	p.eventually("and another one", is)
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("exit status %d, want 0", code)
	}
}

// TestDeliveriesFitTheTerminal: no line is wider than the terminal; what a table has is in
// the paragraphs, too.
func TestDeliveriesFitTheTerminal(t *testing.T) {
	t.Parallel()
	job := event.Delivery{
		At: time.Now(), Result: event.DeliveryForeign, Code: http.StatusForbidden, Authenticated: true, From: "2001:db8::1234", Agent: "GitLab/19.1.0-pre",
		Reason: "this delivery is from the GitLab at https://staging.example.com, and Pipesteward works for the one at https://gitlab.example.com: delete this webhook",
		Hook:   "Job Hook", Kind: event.KindJob, Project: "platform/backend/services/checkout", Pipeline: 1234567, Job: 98765432, JobName: "integration-tests 3/7", Status: "failed", Ref: "feature/make-the-checkout-faster",
	}
	push := event.Delivery{At: time.Now(), Result: event.DeliveryIgnored, Code: http.StatusOK, Hook: "Push Hook", Reason: "neither a Job Hook nor a Pipeline Hook"}
	for _, width := range []int{60, 80, 120, 300, 0} {
		var out bytes.Buffer
		if err := (deliveryPrinter{w: &out, colour: printer{colour: width == 80}, width: width}).list([]event.Delivery{job, push}); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"403 foreign", "200 ignored", "Push Hook", "platform/backend/services/checkout", "1234567", "98765432", "integration-tests 3/7", "failed", "feature/make-the-checkout-faster", "Pipesteward works", "2001:db8::1234", "GitLab/19.1.0-pre"} {
			if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), part) {
				t.Errorf("width %d: the list lacks %q:\n%s", width, part, &out)
			}
		}
		checkWidth(t, out.String(), width)
	}
}
