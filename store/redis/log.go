package redis

import (
	"context"

	"github.com/pipesteward/pipesteward/store"
)

// Append implements store.Log.
func (r *Store) Append(ctx context.Context, key, id string, body []byte, most int) error {
	if err := store.CheckAppend(key, id, most); err != nil {
		return err
	}
	_, err := r.run(ctx, "append", r.logKeys(key), id, body, most, micros(r.retention.OfLog(key)))
	return err
}

// Appended implements store.Log; it lists maxReply entries at most.
func (r *Store) Appended(ctx context.Context, key, cursor string, n int) (entries []store.Entry, next string, err error) {
	if err := store.CheckAppended(key); err != nil {
		return nil, "", err
	}
	return r.listEntries(ctx, r.logKeys(key), cursor, n, r.retention.OfLog(key))
}

// logKeys returns the keys of a log, whose values are like those of the journal.
func (r *Store) logKeys(key string) []string {
	return []string{r.prefix + "log:" + key, r.prefix + "log-entries:" + key}
}
