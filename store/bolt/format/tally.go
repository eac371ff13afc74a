package format

import (
	"encoding/binary"

	"github.com/pipesteward/pipesteward/store"
)

// Tally is the value of a key with TagTally. Its members have consecutive numbers,
// because they are added at the end and removed at the start: their count and the
// position of each are differences of numbers.
type Tally struct {
	Number uint64 // of this tally: the prefix of its keys in Tallies
	First  uint64 // number of the oldest member
	Next   uint64 // number of the next member
	Groups uint64 // how many groups there are
}

// Kinds of keys in Tallies, after the tally's number.
const (
	kindMember = 'm' // a member's number → its time, id, group and note
	kindID     = 'i' // a member's id → its number
	kindGroup  = 'g' // a group → number of its newest member; it is removed with that
)

// Encode returns the tally as it is stored.
func (y Tally) Encode() []byte {
	b := make([]byte, 0, 32)
	for _, n := range []uint64{y.Number, y.First, y.Next, y.Groups} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

// DecodeTally returns a tally that Encode has encoded.
func DecodeTally(b []byte) (Tally, error) {
	d := Decoder{Rest: b}
	y := Tally{Number: d.Uint64(), First: d.Uint64(), Next: d.Uint64(), Groups: d.Uint64()}
	return y, d.Err
}

// MemberKey returns the key of the member with a number, whose value is a Seen.
func (y Tally) MemberKey(n uint64) []byte {
	return binary.BigEndian.AppendUint64(y.key(kindMember, ""), n)
}

// IDKey returns the key of the number of the member with an id.
func (y Tally) IDKey(id string) []byte { return y.key(kindID, id) }

// GroupKey returns the key of the number of a group's newest member.
func (y Tally) GroupKey(group string) []byte { return y.key(kindGroup, group) }

func (y Tally) key(kind byte, rest string) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 9+len(rest)), y.Number)
	return append(append(b, kind), rest...)
}

// EncodeSeen returns a member of a tally, that was added at a time, as it is stored.
func EncodeSeen(at int64, s store.Seen) []byte {
	b := make([]byte, 0, 16+len(s.ID)+len(s.Group)+len(s.Note))
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = AppendString(b, s.ID)
	b = AppendString(b, s.Group)
	return append(b, s.Note...)
}

// DecodeSeen returns a member that EncodeSeen has encoded, and when it was added.
func DecodeSeen(b []byte) (at int64, s store.Seen, err error) {
	d := Decoder{Rest: b}
	at = int64(d.Uint64())
	s = store.Seen{ID: d.String(), Group: d.String()}
	s.Note = string(d.Rest)
	return at, s, d.Err
}
