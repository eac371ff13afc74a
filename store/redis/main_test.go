package redis_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/pipesteward/pipesteward/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(storetest.InMemory(m)) }
