// Package attempts is the file beside the store's that counts leases.
package attempts

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
)

// File is a file beside the store's that has the attempts of the leases
// since the last commit. What a process wrote to it outlives that process,
// though not the loss of power, without waiting for the disk: so the store
// knows how often a record was leased, and its processing died, although a
// lease is not committed by itself.
type File struct {
	Path string
	file *os.File // nil: there is none yet
	used int64    // bytes
}

// Attempt is one lease of a record.
type Attempt struct {
	Seq    uint64 // of the record
	Number uint64
	ID     string // of the record
}

// length is the length of an attempt in the file, in bytes: Seq, Number and a
// checksum over them and the id.
const length = 20

func (a Attempt) encode() []byte {
	b := make([]byte, 0, length)
	b = binary.BigEndian.AppendUint64(b, a.Seq)
	b = binary.BigEndian.AppendUint64(b, a.Number)
	return binary.BigEndian.AppendUint32(b, a.sum())
}

func (a Attempt) sum() uint32 {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 16+len(a.ID)), a.Seq)
	b = binary.BigEndian.AppendUint64(b, a.Number)
	return crc32.ChecksumIEEE(append(b, a.ID...))
}

// Save writes the attempts to the file.
func (f *File) Save(all []Attempt) (err error) {
	if f.file == nil {
		if f.file, err = os.OpenFile(f.Path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600); err != nil {
			return err
		}
	}
	b := make([]byte, 0, len(all)*length)
	for _, a := range all {
		b = append(b, a.encode()...)
	}
	n, err := f.file.WriteAt(b, f.used)
	f.used += int64(n)
	return err
}

// Reset forgets the attempts, which are committed. They stay in the file until
// others overwrite them: to count one twice changes nothing.
func (f *File) Reset() { f.used = 0 }

// Remove removes the file.
func (f *File) Remove() error {
	if f.file == nil {
		return nil
	}
	return errors.Join(f.file.Close(), os.Remove(f.Path))
}

// Read returns the attempts in the file at the path, with the checksum of each; none if
// there is no file.
func Read(path string) (all []Saved, err error) {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for ; len(b) >= length; b = b[length:] {
		all = append(all, Saved{Attempt{Seq: binary.BigEndian.Uint64(b), Number: binary.BigEndian.Uint64(b[8:])}, binary.BigEndian.Uint32(b[16:])})
	}
	return all, nil
}

// Saved is an attempt in the file, which has no id.
type Saved struct {
	Attempt
	sum uint32
}

// Of reports whether the attempt is one of the record with the id.
func (s Saved) Of(id string) bool {
	s.ID = id
	return s.Attempt.sum() == s.sum
}
