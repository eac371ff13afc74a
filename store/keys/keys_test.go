package keys_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/store/keys"
)

var update = flag.Bool("update", false, "generate the table in deploy/README.md again")

// a is what differs in a key; the start of something is 7 ns, or 7 s, after 1970.
const a = "<>"

var start = time.Unix(0, 7)

// made are the keys of all families, as their functions return them.
var made = map[keys.Use][]string{
	keys.Record: {
		keys.Event(a, a), keys.Decision(a, 0), keys.Outcome(a), keys.Notice(a, a, a, ""), keys.Digest(a, a, time.Unix(7, 0)), keys.End(a, a, 7, 7), keys.Follow(a), keys.StormRecord(a, start), keys.SweepRun(a, time.Unix(7, 0)), keys.Report(a, time.Unix(7, 0)),
		keys.TroubleRecord(start), keys.WebhooksRecord(a, a), keys.Answer(a), keys.Request(a), keys.RequestFollowed(a), keys.Try(a, 7), keys.PassRateTurn(a, 7),
	},
	keys.Claim: {keys.CatchUp, keys.Changes, keys.Checkup, keys.WebhooksListed, keys.Confirm(a, 7, 7), keys.Mutes, keys.OutcomeClaim(a), keys.Pauses, keys.MessageClaim(keys.Message(a, a)), keys.WriteClaim(keys.Note(a, 7, 7)), keys.WriteClaim(keys.CommitStatus(a, 7, 7)), keys.Storm(a), keys.Sweep(a), keys.Trouble, keys.Undelivered, keys.Webhooks},
	keys.Rate: {
		keys.Requests(a), keys.Limit(keys.Requests(a), a), keys.Sweeps(keys.Requests(a)),
		keys.ClassBudget(a), keys.ProjectBudget(a, 7), keys.TotalBudget, keys.Posts(a), keys.RequestsOf(a, a),
	},
	keys.Tally: {keys.Burst(a, a), keys.Failures(a), keys.Gathered(a), keys.KnownProjects, keys.Quiet(a, a, time.Unix(7, 0)), keys.PipelineRetries(a, 7), keys.Short(a), keys.Storms, keys.Together(a), keys.Waiting(a, start)},
	keys.Value: {
		keys.Answer(a), keys.Asked(a), keys.CaughtUp(a, 7), keys.Changes, keys.Checkup, keys.CheckupRunning, keys.WebhooksListed, keys.WebhooksListedRunning, keys.DeadWebhooks(a), keys.LastDigest(a, a), keys.Ends(a, a, 7), keys.PipelineEnded(a, 7), keys.Digested(a), keys.Decided(a, 7), keys.RetryEnded(a, 7), keys.Deliveries(a, a), keys.LastCatchUp, keys.LastFailed(a), keys.Failed(a), keys.Granted(a), keys.Mutes, keys.Pauses, keys.Rejected(a, 7, 7, a, a), keys.Requested(a, a, a, 7),
		keys.Retried(a, 7), keys.EndEvaluated(a, 7), keys.Counted(a, 7), keys.FailedRun(a, 7, a), keys.ClassTries(a), keys.ProjectTries(a, 7, 7), keys.RulesInForce(a), keys.Undelivered, keys.Unseen(a), keys.Schedule(a, a, a), keys.State(a, a, a, 7, a), keys.Message(a, a), keys.Note(a, 7, 7), keys.CommitStatus(a, 7, 7), keys.Storm(a), keys.SweepByHand(a, false),
		keys.Reported(a, "<>:7:<>"), keys.Trouble, keys.WebhooksKept(a),
	},
	keys.Log: {keys.Delivered, keys.DeliveredByOthers, keys.Evaluations, keys.NotRead, keys.Unclassified},
}

var placeholder = regexp.MustCompile(`<[^>]*>`)

// TestFamilies: the functions return the keys of the table.
func TestFamilies(t *testing.T) {
	patterns := map[keys.Use][]string{}
	for _, f := range keys.Families {
		patterns[f.Use] = append(patterns[f.Use], placeholder.ReplaceAllString(f.Pattern, a))
	}
	got := map[keys.Use][]string{}
	for use, all := range made {
		for _, key := range all {
			got[use] = append(got[use], strings.ReplaceAll(key, "7", a))
		}
		slices.Sort(got[use])
		slices.Sort(patterns[use])
	}
	if diff := cmp.Diff(patterns, got); diff != "" {
		t.Errorf("keys (- the table, + the functions):\n%s", diff)
	}
}

// TestFamiliesAreApart: no key is of two families of one use. What differs in a
// key may hold anything but the beginning of another family: an instance is a
// URL, a host has no colon but before its port, a class is a word.
func TestFamiliesAreApart(t *testing.T) {
	samples := map[string]string{
		"<instance>": "https://gitlab.example.com:8443", "<host>": "gitlab.example.com:8443", "<class>": "runner", "<budget>": "retries:total",
		"<decision>": "retry:https://gitlab.example.com:1:job:7", "<outcome>": "retry:https://gitlab.example.com:1:job:7@7",
	}
	for _, f := range keys.Families {
		key := placeholder.ReplaceAllStringFunc(f.Pattern, func(p string) string {
			if sample, ok := samples[p]; ok {
				return sample
			}
			return "7"
		})
		for _, other := range keys.Families {
			if other == f || other.Use != f.Use || other.Pattern == "<host>" {
				continue
			}
			fixed, _, _ := strings.Cut(other.Pattern, "<")
			if fixed == other.Pattern && key == fixed || fixed != other.Pattern && fixed != "" && strings.HasPrefix(key, fixed) {
				t.Errorf("%s %q may be of %q, too", f.Use, key, other.Pattern)
			}
		}
	}
}

// TestTable: the table in deploy/README.md has all families.
func TestTable(t *testing.T) {
	const (
		name  = "../../deploy/README.md"
		again = "go test ./store/keys -run TestTable -update"
		begin = "<!-- Made from store/keys/keys.go: " + again + " -->\n"
		end   = "<!-- Up to here. -->\n"
	)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(data), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s lacks the lines\n%s%s", name, begin, end)
	}
	var table strings.Builder
	table.WriteString("| use | key | content | time to live | by |\n| --- | --- | --- | --- | --- |\n")
	for _, f := range keys.Families {
		fmt.Fprintf(&table, "| %s | `%s` | %s | %s | %s |\n", f.Use, f.Pattern, f.Content, f.TTL, f.Owner)
	}
	want := before + begin + "\n" + table.String() + "\n" + end + after
	switch diff := cmp.Diff(want, string(data)); {
	case diff == "":
	case *update:
		if err := os.WriteFile(name, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s differs from the code. Generate it again:\n\n\t%s\n\n(-code +file):\n%s", name, again, diff)
	}
}
