package redis

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/pipesteward/pipesteward/store"
)

// Records implements store.Steering; it lists maxReply records at most. The cursor is the
// time and the id of the last record that was listed.
func (r *Store) Records(ctx context.Context, cursor string, n int) (records []store.QueuedRecord, next string, err error) {
	at, id, err := parseRecordCursor(cursor)
	if err != nil || n <= 0 {
		return nil, "", err
	}
	list, err := r.runList(ctx, "records", r.queue, at, id, min(n, maxReply), store.MaxPage)
	if err != nil {
		return nil, "", err
	}
	more := list.number() == 1
	for len(list.rest) > 0 {
		id := list.string()
		records = append(records, queuedRecord(id, list))
	}
	if more {
		last := records[len(records)-1]
		next = strconv.FormatInt(last.Next().UnixMicro(), 10) + "." + base64.RawURLEncoding.EncodeToString([]byte(last.ID))
	}
	return records, next, nil
}

// parseRecordCursor returns the time and the id that a cursor stands for; "" for none.
func parseRecordCursor(cursor string) (at, id string, err error) {
	if cursor == "" {
		return "", "", nil
	}
	at, encoded, _ := strings.Cut(cursor, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(encoded)
	if _, err2 := strconv.ParseUint(at, 10, 53); err != nil || err2 != nil || len(decoded) == 0 {
		return "", "", store.BadCursor(cursor)
	}
	return at, string(decoded), nil
}

// queuedRecord reads a record of the queue from a reply.
func queuedRecord(id string, list *replyList) store.QueuedRecord {
	r := store.QueuedRecord{ID: id, Kind: list.string(), Body: []byte(list.string()), Attempt: int(list.number()), Due: fromMicros(list.number())}
	if expires := list.number(); expires > 0 {
		r.Expires = fromMicros(expires)
	}
	return r
}

// deadBatch is how many dead records, with their bodies, are read at a time.
const deadBatch = 50

// Dead implements store.Steering. The cursor is the last record's entry in the stream.
func (r *Store) Dead(ctx context.Context, cursor string, n int) (dead []store.DeadRecord, next string, err error) {
	before := "+"
	if cursor != "" {
		if !isStreamID(cursor) {
			return nil, "", store.BadCursor(cursor)
		}
		before = "(" + cursor
	}
	for size := 0; len(dead) < n && size < store.MaxPage; {
		batch := min(n-len(dead), deadBatch)
		found, err := r.deadBefore(ctx, before, batch+1) // one more, which shows whether there are more
		if err != nil {
			return nil, "", err
		}
		for _, m := range found[:min(batch, len(found))] {
			if size >= store.MaxPage {
				return dead, next, nil
			}
			d, err := deadRecord(m)
			if err != nil {
				return nil, "", err
			}
			dead, size, next = append(dead, d), size+len(d.Body), m.ID
		}
		if len(found) <= batch {
			return dead, "", nil
		}
		before = "(" + next
	}
	return dead, next, nil
}

// isStreamID reports whether a text is the id of an entry of a stream.
func isStreamID(text string) bool {
	at, number, _ := strings.Cut(text, "-")
	_, err := strconv.ParseUint(at, 10, 64)
	_, err2 := strconv.ParseUint(number, 10, 64)
	return err == nil && err2 == nil
}

// deadBefore reads up to n entries of the stream of dead records, the last first.
func (r *Store) deadBefore(ctx context.Context, before string, n int) (found []goredis.XMessage, err error) {
	err = r.call(ctx, func(ctx context.Context) (err error) {
		found, err = r.client.XRevRangeN(ctx, r.dead, before, "-", int64(n)).Result()
		return err
	})
	return found, err
}

func deadRecord(m goredis.XMessage) (store.DeadRecord, error) {
	text := func(field string) string { s, _ := m.Values[field].(string); return s }
	at, err := strconv.ParseInt(text("at"), 10, 64)
	if err != nil {
		return store.DeadRecord{}, fmt.Errorf("store: dead record %s: %w", m.ID, err)
	}
	return store.DeadRecord{ID: text("id"), Kind: text("kind"), Body: []byte(text("body")), Reason: text("reason"), At: fromMicros(at)}, nil
}

// Find implements store.Steering.
func (r *Store) Find(ctx context.Context, id string) (queued *store.QueuedRecord, dead *store.DeadRecord, err error) {
	if err := store.CheckRecordID(id); err != nil {
		return nil, nil, err
	}
	list, err := r.runList(ctx, "find", r.queue, id)
	if err != nil {
		return nil, nil, err
	}
	if len(list.rest) > 0 {
		record := queuedRecord(id, list)
		return &record, nil, nil
	}
	entry, err := r.findDead(ctx, id)
	if err != nil || entry == "" {
		return nil, nil, err
	}
	found, err := r.deadBefore(ctx, entry, 1)
	if err != nil || len(found) == 0 || found[0].ID != entry { // requeued or dropped meanwhile
		return nil, nil, err
	}
	record, err := deadRecord(found[0])
	return nil, &record, err
}

// findDead returns the entry of the record with the id that was buried last; "" for none.
func (r *Store) findDead(ctx context.Context, id string) (entry string, err error) {
	for before := "+"; before != ""; {
		list, err := r.runList(ctx, "finddead", []string{r.dead}, id, before, maxReply)
		if err != nil {
			return "", err
		}
		if entry, before = list.string(), list.string(); entry != "" {
			return entry, nil
		}
	}
	return "", nil
}

// Requeue implements store.Steering.
func (r *Store) Requeue(ctx context.Context, id string, c store.Changes) error {
	if err := store.CheckSteered(id, c); err != nil {
		return err
	}
	entry, err := r.findDead(ctx, id)
	if err != nil {
		return err
	}
	if entry == "" {
		entry = "0-0" // which no entry has: the queue may have the id
	}
	done, err := r.runChanges(ctx, "requeue", []string{r.dead, idKey(r.prefix, id)}, []any{id, entry}, c)
	return steered(done, store.ErrQueued, err)
}

// Hasten implements store.Steering.
func (r *Store) Hasten(ctx context.Context, id string) error {
	if err := store.CheckRecordID(id); err != nil {
		return err
	}
	done, err := r.runNumber(ctx, "hasten", r.queue, id)
	return steered(done, store.ErrLeased, err)
}

// Drop implements store.Steering.
func (r *Store) Drop(ctx context.Context, id string, c store.Changes) error {
	if err := store.CheckSteered(id, c); err != nil {
		return err
	}
	entry, err := r.findDead(ctx, id)
	if err != nil {
		return err
	}
	done, err := r.runChanges(ctx, "drop", []string{r.dead}, []any{id, entry}, c)
	return steered(done, store.ErrLeased, err)
}

// steered returns the error of a script that returns 1 if it changed something, 0 if
// there is no such record, -1 if its state forbids the change, and 2 if a value is not as
// expected.
func steered(done int64, forbidden, err error) error {
	switch {
	case err != nil:
		return err
	case done == 0:
		return store.ErrNotFound
	case done < 0:
		return forbidden
	case done == 2:
		return store.ErrChanged
	}
	return nil
}
