package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/redistest"
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
		"--project=platform/shop": {event.DeliveryStored}, "--project=platform/no": nil, "--result=unauthorized": {event.DeliveryUnauthorized}, "--limit=1": {event.DeliveryStored}, "--since=1h": {event.DeliveryStored, event.DeliveryUnauthorized},
	} {
		var got []string
		for _, d := range list[event.Delivery](p, "deliveries", filter) {
			got = append(got, d.Result)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s lists %q, want %q", filter, got, want)
		}
	}
	for limit, more := range map[string]string{"1": "there may be more: --limit 10\n", "2": "", "100000": ""} {
		if code, _, errs := p.output("deliveries", "--limit", limit); code != 0 || errs != more {
			t.Errorf("--limit %s: exit status %d, %q, want 0 and %q", limit, code, errs, more)
		}
	}
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
		if err := (deliveryPrinter{itemPrinter{w: &out, colour: printer{colour: width == 80}, width: width}}).list([]event.Delivery{job, push}); err != nil {
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

// TestDeliveriesOfReplicas: each replica lists the deliveries of both, page by page, the
// newest one first also where only one of them was busy.
func TestDeliveriesOfReplicas(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	redis := redistest.Start(t)
	quiet, busy := env.run("--store", redis.URL()), env.run("--store", redis.URL())
	job := env.stuckJob()
	body := env.gitlab.JobHookBody(job.ID)
	quiet.post(body)
	for range 20 {
		busy.post(body)
	}
	quiet.post([]byte(`{"object_kind":"push"}`))
	for _, p := range []*program{quiet, busy} {
		p.eventually("all deliveries are listed", func() bool { return len(list[event.Delivery](p, "deliveries")) == 22 })
		if newest := list[event.Delivery](p, "deliveries", "--limit", "1"); len(newest) != 1 || newest[0].Result != event.DeliveryIgnored {
			t.Errorf("the newest delivery is %+v, want the ignored one", newest)
		}
		var results []string
		for cursor := ""; ; {
			_, text := p.get("/api/v1/deliveries?limit=4&cursor=" + cursor)
			var page admin.DeliveriesPage
			if err := json.Unmarshal([]byte(text), &page); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			for _, d := range page.Deliveries {
				results = append(results, d.Result)
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if got, want := strings.Join(results, " "), "ignored"+strings.Repeat(" duplicate", 20)+" stored"; got != want {
			t.Errorf("deliveries are %s, want %s", got, want)
		}
	}
}

// TestFreshDeliveries: of what a server lists, each delivery is new once, however many come
// between two looks, also one that took long to arrive; those that were there before the
// first look are not.
func TestFreshDeliveries(t *testing.T) {
	start := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	var there []event.Delivery // newest first
	add := func(second, n int) {
		for i := range n {
			there = append(there, event.Delivery{At: start.Add(time.Duration(second)*time.Second + time.Duration(i)*time.Microsecond), Job: int64(len(there))})
		}
		slices.SortFunc(there, func(a, b event.Delivery) int { return b.At.Compare(a.At) })
	}
	f := &deliveryFollower{
		read: func(_ context.Context, limit int) ([]event.Delivery, bool, error) {
			return slices.Clone(there[:min(limit, len(there))]), limit < len(there), nil
		},
		seen: map[event.Delivery]bool{},
	}
	add(0, 5000)
	list, _, _ := f.read(t.Context(), polledDeliveries)
	f.note(list)
	for _, c := range []struct {
		name      string
		second, n int
		want      int
	}{
		{"nothing", 1, 0, 0},
		{"one", 2, 1, 1},
		{"as many as are read at a time", 3, polledDeliveries, polledDeliveries},
		{"more", 4, 2*polledDeliveries + 1, 2*polledDeliveries + 1},
		{"nothing again", 5, 0, 0},
		{"more than are read at all", 6, maxNew + 10, maxNew},
		{"one", 8, 1, 1},
		{"one that took long", 7, 1, 1},
		{"one that took very long", 3, 1, 0},
		{"after all of this", 9, 3, 3},
	} {
		add(c.second, c.n)
		fresh, err := f.fresh(t.Context())
		if err != nil || len(fresh) != c.want {
			t.Errorf("%s: %d deliveries are new, %v, want %d", c.name, len(fresh), err, c.want)
		}
	}
}
