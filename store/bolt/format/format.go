// Package format is the format of the store's file: its buckets, and how keys and values
// are encoded. Numbers are big-endian, so that bbolt sorts them; times are Unix nanoseconds.
package format

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Version is the version of the format, which this package defines; it changes with
// the format.
const Version = "1"

// The buckets of the file; seq is the number of a record or an entry.
var (
	Meta     = []byte("pipesteward") // "format" → Version
	Records  = []byte("records")     // seq → header
	Bodies   = []byte("bodies")      // seq, chunk number → part of a body, of queued and of dead records
	Due      = []byte("due")         // due time or lease's end, seq → LeasedMark while leased
	Dead     = []byte("dead")        // time, seq → header with the reason
	Entries  = []byte("entries")     // seq → time, id, body
	EntryIDs = []byte("entry_ids")   // id → seq
	Expiring = []byte("expiring")    // tag, key → expiry, payload
	Expiry   = []byte("expiry")      // expiry, tag, key → nothing: the index of expiring
	Tallies  = []byte("tallies")     // a tally's number, kind, rest of the key by kind: see Tally
	Logs     = []byte("logs")        // the key of a log → a bucket that has, for its entries, the two buckets of the journal

	// Buckets are all of them.
	Buckets = [][]byte{
		Meta, Records, Bodies, Due, Dead,
		Entries, EntryIDs, Expiring, Expiry, Tallies, Logs,
	}

	// The keys in Meta.
	VersionKey = []byte("format")
	PingKey    = []byte("ping")
	ClockKey   = []byte("clock") // → the store's time of the last commit
)

// ChunkSize is the greatest size of a chunk of a body, in bytes: bbolt rewrites
// a whole page whenever one of its values is added or removed.
const ChunkSize = 8 << 10

// Tags of the keys in Expiring.
const (
	TagID    = 'i' // an id that was put → seq of its record
	TagRate  = 'r' // the key of a rate bucket → when it is full
	TagHold  = 'h' // the key of a rate bucket → nothing, until its Hold ends
	TagClaim = 'c' // the key of a claim → its owner
	TagTally = 't' // the key of a tally → the tally
	TagValue = 'v' // the key of a value → the value
)

// LeasedMark is the value in Due of a record that is leased.
var LeasedMark = []byte{1}

// ErrDamaged is in the chain of the error of a value that can't be decoded.
var ErrDamaged = errors.New("the store's file is damaged")

// Header is a record without its body.
type Header struct {
	ID        string
	Kind      string
	Reason    string // why it was buried
	Attempt   uint64
	Due       int64
	Expires   int64 // when the lease ends; 0: not leased
	SeenUntil int64 // when its id need no longer be remembered
}

// Key is the record's key in Due.
func (h Header) Key(seq uint64) []byte {
	if h.Expires != 0 {
		return PairKey(h.Expires, seq)
	}
	return PairKey(h.Due, seq)
}

// Encode returns the header as it is stored.
func (h Header) Encode() []byte {
	b := make([]byte, 0, 32+len(h.ID)+len(h.Kind)+len(h.Reason))
	b = binary.BigEndian.AppendUint64(b, uint64(h.Due))
	b = binary.BigEndian.AppendUint64(b, uint64(h.Expires))
	b = binary.BigEndian.AppendUint64(b, uint64(h.SeenUntil))
	b = binary.AppendUvarint(b, h.Attempt)
	b = AppendString(b, h.ID)
	b = AppendString(b, h.Kind)
	return AppendString(b, h.Reason)
}

// DecodeHeader returns a header that Encode has encoded.
func DecodeHeader(b []byte) (Header, error) {
	d := Decoder{Rest: b}
	h := Header{
		Due:       int64(d.Uint64()),
		Expires:   int64(d.Uint64()),
		SeenUntil: int64(d.Uint64()),
		Attempt:   d.Uvarint(),
		ID:        d.String(),
		Kind:      d.String(),
		Reason:    d.String(),
	}
	return h, d.Err
}

// EncodeEntry returns an entry of the journal or of a log as it is stored.
func EncodeEntry(at int64, id string, body []byte) []byte {
	b := make([]byte, 0, 16+len(id)+len(body))
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = AppendString(b, id)
	return append(b, body...)
}

// DecodeEntry returns the parts of an entry; body is a part of b.
func DecodeEntry(b []byte) (at int64, id string, body []byte, err error) {
	d := Decoder{Rest: b}
	at, id = int64(d.Uint64()), d.String()
	return at, id, d.Rest, d.Err
}

// Token returns the token of a lease: no other lease of the record has the same
// attempt.
func Token(seq, attempt uint64) string {
	return strconv.FormatUint(seq, 10) + "." + strconv.FormatUint(attempt, 10)
}

// ParseToken returns ok false if s is no token.
func ParseToken(s string) (seq, attempt uint64, ok bool) {
	before, after, _ := strings.Cut(s, ".")
	seq, err := strconv.ParseUint(before, 10, 64)
	attempt, err2 := strconv.ParseUint(after, 10, 64)
	return seq, attempt, err == nil && err2 == nil
}

// NumberKey returns the key of a number.
func NumberKey(n uint64) []byte {
	return binary.BigEndian.AppendUint64(nil, n)
}

// SplitNumberKey returns the number of a key.
func SplitNumberKey(k []byte) uint64 { return binary.BigEndian.Uint64(k) }

// PairKey returns the key of a time and a number: that of a record in Due or in Dead.
func PairKey(at int64, seq uint64) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 16), uint64(at))
	return binary.BigEndian.AppendUint64(b, seq)
}

// ChunkKey returns the key of a chunk of a body.
func ChunkKey(seq uint64, chunk uint32) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 12), seq)
	return binary.BigEndian.AppendUint32(b, chunk)
}

// SplitPairKey returns the time and the number of a key.
func SplitPairKey(k []byte) (at int64, seq uint64) {
	return int64(binary.BigEndian.Uint64(k)), binary.BigEndian.Uint64(k[8:])
}

// Later returns the time d after t, in Unix nanoseconds, at most the last that
// fits. A negative d counts as 0.
func Later(t int64, d time.Duration) int64 {
	if sum := t + int64(max(d, 0)); sum >= t {
		return sum
	}
	return math.MaxInt64
}

// AppendString appends a text after its length.
func AppendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// Decoder reads fields from the front of Rest; after the first one that is
// missing, Err is set and all fields are zero.
type Decoder struct {
	Rest []byte
	Err  error
}

func (d *Decoder) take(n uint64) []byte {
	if d.Err != nil || n > uint64(len(d.Rest)) {
		d.Err = fmt.Errorf("store: a value is cut short: %w", ErrDamaged)
		return nil
	}
	b := d.Rest[:n]
	d.Rest = d.Rest[n:]
	return b
}

// Uint64 reads a number of 8 bytes.
func (d *Decoder) Uint64() uint64 {
	b := d.take(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// Uvarint reads a number of as many bytes as it needs.
func (d *Decoder) Uvarint() uint64 {
	v, n := binary.Uvarint(d.Rest)
	d.take(uint64(max(n, 0)))
	if n <= 0 && d.Err == nil {
		d.Err = fmt.Errorf("store: a number is cut short: %w", ErrDamaged)
	}
	return v
}

// String reads a text that AppendString has appended.
func (d *Decoder) String() string {
	return string(d.take(d.Uvarint()))
}

// ExpiringKey returns the key in Expiring of a tag and a key.
func ExpiringKey(tag byte, key string) []byte {
	return append(append(make([]byte, 0, 1+len(key)), tag), key...)
}

// ExpiryKey returns the key in Expiry of a key in Expiring.
func ExpiryKey(expires int64, k []byte) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(k)), uint64(expires))
	return append(b, k...)
}
