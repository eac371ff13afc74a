package format

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// Check returns an error if the file of a transaction has not the format of this version.
func Check(tx *bbolt.Tx) error {
	meta := tx.Bucket(Meta)
	if meta == nil {
		return errors.New("it belongs to another program: use another file")
	}
	if v := string(meta.Get(VersionKey)); v != Version {
		return fmt.Errorf("it has format %q, and this program reads format %q: use the version that wrote it", v, Version)
	}
	return nil
}
