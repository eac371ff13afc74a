package ledger_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/store/keys"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// poisoned draws statistics that were lost, corrupted or made up: as text, since JSON of
// ours has no NaN. nil: lost.
func poisoned(now time.Time) *rapid.Generator[[]byte] {
	number := rapid.OneOf(
		rapid.SampledFrom([]string{"0", "-1", "-1e300", "1e300", "1e999", "NaN", "-Infinity", "null", `"7"`, "13", "60", "0.0000001", "1e-320", "999999999"}),
		rapid.Map(rapid.Float64(), func(f float64) string { return fmt.Sprint(f) }),
	)
	at := rapid.SampledFrom([]time.Time{{}, now, now.Add(-1000 * 24 * time.Hour), now.Add(5 * time.Minute), now.Add(1000 * 24 * time.Hour), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)})
	recent := rapid.SampledFrom([]string{"", "F", strings.Repeat("F", 13), strings.Repeat("P", 20), strings.Repeat("F", 5000), "FFFFFFFFFFxFFF", "\u0000"})
	one := rapid.Custom(func(t *rapid.T) string {
		return fmt.Sprintf(`{"rule":%q,"class":%q,"job":%q,"passed":%s,"failed":%s,"at":%q,"recent":%q,"low":%t}`,
			rapid.SampledFrom([]string{"r", "", "another"}).Draw(t, "rule"), rapid.SampledFrom([]string{"stuck", "", "runner"}).Draw(t, "class"), rapid.SampledFrom([]string{"rspec", "", "lint"}).Draw(t, "job"),
			number.Draw(t, "passed"), number.Draw(t, "failed"), at.Draw(t, "at").Format(time.RFC3339), recent.Draw(t, "recent"), rapid.Bool().Draw(t, "low"))
	})
	array := func(all []string) []byte { return []byte("[" + strings.Join(all, ",") + "]") }
	list := rapid.Map(rapid.SliceOfN(one, 0, 20), array)
	return rapid.OneOf(
		rapid.Just([]byte(nil)),
		rapid.SliceOfN(rapid.Byte(), 0, 50),
		list,
		rapid.Map(list, func(all []byte) []byte { return all[:len(all)*2/3] }),
		rapid.Map(one, func(leaf string) []byte { return array(slices.Repeat([]string{leaf}, 300)) }),      // too many
		rapid.SampledFrom([][]byte{bytes.Repeat([]byte("["), 20_000), bytes.Repeat([]byte(" "), 1<<20+1)}), // too deep, too long
	)
}

// What is learned can only make the program do less: whatever the store has as statistics,
// there is no retry that the rules alone would not allow, and nothing breaks.
func TestPoisonedStatistics(t *testing.T) {
	await.Long(t, "it works on a hundred poisoned stores")
	t.Parallel()
	s := newScene(t, "")
	rapid.Check(t, func(r *rapid.T) {
		project, class := poisoned(s.Now()).Draw(r, "project"), poisoned(s.Now()).Draw(r, "class")
		s.poison(s.projectKey(), project)
		s.poison(keys.ClassTries("stuck"), class)
		before := s.GitLab.Count(http.MethodPost, "/retry")
		allowed := 0
		switch rapid.SampledFrom([]string{"allowed", "another reason", "attempts used up", "retried by a person"}).Draw(r, "scene") {
		case "allowed":
			allowed = 1
			s.fail(actionstest.Stuck)
		case "another reason":
			s.fail("script_failure")
		case "attempts used up":
			job := s.fail("script_failure")
			s.MustRetry(job.ID)
			s.end("failed")
		case "retried by a person":
			s.Pipeline = s.GitLab.AddPipeline(s.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
			job := s.End("rspec", "failed", actionstest.Stuck)
			hook := s.GitLab.JobHookBody(job)
			s.MustRetry(job)
			s.Deliver(hook)
			s.WorkOff()
		}
		retries := s.GitLab.Count(http.MethodPost, "/retry") - before
		if retries > allowed {
			r.Fatalf("%d retries, and the rules allow %d", retries, allowed)
		}
		if retries == 0 {
			return
		}
		s.end("success") // the try mends what is broken
		for _, key := range []string{s.projectKey(), keys.ClassTries("stuck")} {
			value, err := s.DB.Get(t.Context(), key)
			if err != nil || !json.Valid(value) {
				r.Fatalf("%s has %.200q: %v", key, value, err)
			}
		}
		if n := s.DeadRecords(); n > 0 || strings.Contains(s.Logs.String(), "panic") {
			r.Fatalf("%d records are dead:\n%s", n, s.Logs)
		}
	})
}

func (s *scene) poison(key string, value []byte) {
	s.Helper()
	ttl := time.Hour
	if value == nil { // lost
		value, ttl = []byte("[]"), time.Nanosecond
	}
	if err := s.DB.Set(s.Context(), key, value, ttl); err != nil {
		s.Fatal(err)
	}
	if ttl < time.Hour {
		s.Clock.Advance(time.Millisecond)
	}
}
