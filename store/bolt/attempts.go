package bolt

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
)

// attempts is a file beside the store's that has the attempts of the leases
// since the last commit. What a process wrote to it outlives that process,
// though not the loss of power, without waiting for the disk: so the store
// knows how often a record was leased, and its processing died, although a
// lease is not committed by itself.
type attempts struct {
	path string
	file *os.File // nil: there is none yet
	size int64    // in bytes, of the part that is in use
}

// attempt is one lease of a record.
type attempt struct {
	seq, number uint64
	id          string // of the record
}

// attemptSize is the size of an attempt in the file, in bytes: seq, number and a
// checksum over them and the id.
const attemptSize = 20

func (a attempt) encode() []byte {
	b := make([]byte, 0, attemptSize)
	b = binary.BigEndian.AppendUint64(b, a.seq)
	b = binary.BigEndian.AppendUint64(b, a.number)
	return binary.BigEndian.AppendUint32(b, a.sum())
}

func (a attempt) sum() uint32 {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 16+len(a.id)), a.seq)
	b = binary.BigEndian.AppendUint64(b, a.number)
	return crc32.ChecksumIEEE(append(b, a.id...))
}

// save writes the attempts to the file.
func (f *attempts) save(all []attempt) (err error) {
	if f.file == nil {
		if f.file, err = os.OpenFile(f.path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600); err != nil {
			return err
		}
	}
	b := make([]byte, 0, len(all)*attemptSize)
	for _, a := range all {
		b = append(b, a.encode()...)
	}
	n, err := f.file.WriteAt(b, f.size)
	f.size += int64(n)
	return err
}

// reset forgets the attempts, which are committed. They stay in the file until
// others overwrite them: to count one twice changes nothing.
func (f *attempts) reset() { f.size = 0 }

// remove removes the file.
func (f *attempts) remove() error {
	if f.file == nil {
		return nil
	}
	return errors.Join(f.file.Close(), os.Remove(f.path))
}

// recoverAttempts sets the attempts that the last process saved in the file at
// path and did not commit.
func recoverAttempts(t *txn, path string) error {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for ; len(b) >= attemptSize; b = b[attemptSize:] {
		a := attempt{seq: binary.BigEndian.Uint64(b), number: binary.BigEndian.Uint64(b[8:])}
		h, err := decodeHeader(t.records.Get(numberKey(a.seq)))
		if err != nil {
			continue // the record is done, or unreadable
		}
		a.id = h.ID
		if binary.BigEndian.Uint32(b[16:]) != a.sum() || h.Attempt >= a.number {
			continue
		}
		h.Attempt = a.number
		if err := t.put(t.records, numberKey(a.seq), h.encode()); err != nil {
			return err
		}
	}
	return nil
}
