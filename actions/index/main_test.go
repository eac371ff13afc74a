package index_test

import (
	"os"
	"testing"

	"github.com/pipesteward/pipesteward/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.InMemory(m).Run()) }
