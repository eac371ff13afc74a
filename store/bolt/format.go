package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// formatVersion is the version of the file format, which this source file
// defines; it changes with the format.
const formatVersion = "1"

// The buckets of the file. Numbers are big-endian, so that bbolt sorts them;
// times are Unix nanoseconds; seq is the number of a record or an entry.
var (
	metaBucket     = []byte("pipesteward") // "format" → formatVersion
	recordsBucket  = []byte("records")     // seq → header
	bodiesBucket   = []byte("bodies")      // seq, chunk number → part of a body, of queued and of dead records
	dueBucket      = []byte("due")         // due time or lease's end, seq → leasedMark while leased
	deadBucket     = []byte("dead")        // time, seq → header with the reason
	entriesBucket  = []byte("entries")     // seq → time, id, body
	entryIDsBucket = []byte("entry_ids")   // id → seq
	expiringBucket = []byte("expiring")    // tag, key → expiry, payload
	expiryBucket   = []byte("expiry")      // expiry, tag, key → nothing: the index of expiring
	talliesBucket  = []byte("tallies")     // a tally's number, kind, rest of the key by kind: see tally.go
	logsBucket     = []byte("logs")        // the key of a log → a bucket that has, for its entries, the two buckets of the journal

	allBuckets = [][]byte{
		metaBucket, recordsBucket, bodiesBucket, dueBucket, deadBucket,
		entriesBucket, entryIDsBucket, expiringBucket, expiryBucket, talliesBucket, logsBucket,
	}

	formatKey = []byte("format")
	pingKey   = []byte("ping")
	clockKey  = []byte("clock") // → the store's time of the last commit
)

// chunkSize is the greatest size of a chunk of a body, in bytes: bbolt rewrites
// a whole page whenever one of its values is added or removed.
const chunkSize = 8 << 10

// Tags of the keys in expiringBucket.
const (
	tagID    = 'i' // an id that was put → seq of its record
	tagRate  = 'r' // the key of a rate bucket → when it is full
	tagHold  = 'h' // the key of a rate bucket → nothing, until its Hold ends
	tagClaim = 'c' // the key of a claim → its owner
	tagTally = 't' // the key of a tally → the tally
	tagValue = 'v' // the key of a value → the value
)

var leasedMark = []byte{1}

var errDamaged = errors.New("the store's file is damaged")

// header is a record without its body.
type header struct {
	ID        string
	Kind      string
	Reason    string // why it was buried
	Attempt   uint64
	Due       int64
	Expires   int64 // when the lease ends; 0: not leased
	SeenUntil int64 // when its id need no longer be remembered
}

// key is the record's key in dueBucket.
func (h header) key(seq uint64) []byte {
	if h.Expires != 0 {
		return pairKey(h.Expires, seq)
	}
	return pairKey(h.Due, seq)
}

func (h header) encode() []byte {
	b := make([]byte, 0, 32+len(h.ID)+len(h.Kind)+len(h.Reason))
	b = binary.BigEndian.AppendUint64(b, uint64(h.Due))
	b = binary.BigEndian.AppendUint64(b, uint64(h.Expires))
	b = binary.BigEndian.AppendUint64(b, uint64(h.SeenUntil))
	b = binary.AppendUvarint(b, h.Attempt)
	b = appendString(b, h.ID)
	b = appendString(b, h.Kind)
	return appendString(b, h.Reason)
}

func decodeHeader(b []byte) (header, error) {
	d := decoder{rest: b}
	h := header{
		Due:       int64(d.uint64()),
		Expires:   int64(d.uint64()),
		SeenUntil: int64(d.uint64()),
		Attempt:   d.uvarint(),
		ID:        d.string(),
		Kind:      d.string(),
		Reason:    d.string(),
	}
	return h, d.err
}

func encodeEntry(at int64, id string, body []byte) []byte {
	b := make([]byte, 0, 16+len(id)+len(body))
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = appendString(b, id)
	return append(b, body...)
}

// decodeEntry returns the parts of an entry; body is a part of b.
func decodeEntry(b []byte) (at int64, id string, body []byte, err error) {
	d := decoder{rest: b}
	at, id = int64(d.uint64()), d.string()
	return at, id, d.rest, d.err
}

// token returns the token of a lease: no other lease of the record has the same
// attempt.
func token(seq, attempt uint64) string {
	return strconv.FormatUint(seq, 10) + "." + strconv.FormatUint(attempt, 10)
}

// parseToken returns ok false if s is no token.
func parseToken(s string) (seq, attempt uint64, ok bool) {
	before, after, _ := strings.Cut(s, ".")
	seq, err := strconv.ParseUint(before, 10, 64)
	attempt, err2 := strconv.ParseUint(after, 10, 64)
	return seq, attempt, err == nil && err2 == nil
}

func numberKey(n uint64) []byte {
	return binary.BigEndian.AppendUint64(nil, n)
}

func splitNumberKey(k []byte) uint64 { return binary.BigEndian.Uint64(k) }

func pairKey(at int64, seq uint64) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 16), uint64(at))
	return binary.BigEndian.AppendUint64(b, seq)
}

func chunkKey(seq uint64, chunk uint32) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 12), seq)
	return binary.BigEndian.AppendUint32(b, chunk)
}

func splitPairKey(k []byte) (at int64, seq uint64) {
	return int64(binary.BigEndian.Uint64(k)), binary.BigEndian.Uint64(k[8:])
}

// later returns the time d after t, in Unix nanoseconds, at most the last that
// fits. A negative d counts as 0.
func later(t int64, d time.Duration) int64 {
	if sum := t + int64(max(d, 0)); sum >= t {
		return sum
	}
	return math.MaxInt64
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// decoder reads fields from the front of rest; after the first one that is
// missing, err is set and all fields are zero.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) take(n uint64) []byte {
	if d.err != nil || n > uint64(len(d.rest)) {
		d.err = fmt.Errorf("store: a value is cut short: %w", errDamaged)
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) uint64() uint64 {
	b := d.take(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	d.take(uint64(max(n, 0)))
	if n <= 0 && d.err == nil {
		d.err = fmt.Errorf("store: a number is cut short: %w", errDamaged)
	}
	return v
}

func (d *decoder) string() string {
	return string(d.take(d.uvarint()))
}
