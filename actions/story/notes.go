package story

import "github.com/pipesteward/pipesteward/rules/event"

// notes adds what else a person should know.
func (t *teller) notes(b *Builder) {
	for i := range t.decisions {
		d := &t.decisions[i]
		for _, n := range d.NotNotified() {
			if n.Result == event.NotificationWaiting {
				continue // the untold have it
			}
			t.note("notification", struct {
				Rule, By string
				event.Notification
			}{d.Rule, requester(d), n})
		}
	}
	for _, u := range t.untold {
		t.note("untold", u)
	}
	if trouble, is := b.GitLab.Trouble(); is {
		t.note("trouble", struct{ Since, Reason, Advice string }{clock(trouble.Since), trouble.Reason, trouble.Advice()})
	}
	t.noteOtherRun()
}

// noteOtherRun adds that the job was run again, if not by Pipesteward.
func (t *teller) noteOtherRun() {
	if t.job.ID == 0 || len(t.seen.runs) == 0 {
		return
	}
	newest := t.seen.runs[len(t.seen.runs)-1]
	ours := int64(0) // the run that our retry made
	for _, d := range t.decisions {
		if d.Job.ID == t.job.ID {
			ours = max(ours, d.NewJobID)
		}
	}
	run := struct {
		ID     int64
		Status string
	}{newest.ID, t.in.Status(newest.Status)}
	switch {
	case newest.ID <= t.job.ID, newest.ID == ours:
	case ours > t.job.ID:
		t.note("newest", run)
	case t.story.Verdict != Skipped:
		t.note("retried_otherwise", run)
	}
}
