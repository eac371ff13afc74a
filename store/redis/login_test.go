package redis_test

import (
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/store/redis"
	"github.com/pipesteward/pipesteward/store/redistest"
)

// The password of Redis's user changes while the store is open.
func TestRedisPasswordChanges(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	password := func(value string) {
		server.Do("acl", "setuser", "pipesteward", "on", "resetpass", ">"+value, "~*", "&*", "+@all")
	}
	url := func(password string) string { return "redis://pipesteward:" + password + "@" + server.Addr }
	password("first")
	db, err := redis.Open(t.Context(), url("first"), redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	// ping uses more connections than were open, which Redis has cut.
	ping := func() (err error) {
		for range 20 {
			if err = db.Ping(t.Context()); err == nil {
				break
			}
		}
		return err
	}
	password("second")
	server.Do("client", "kill", "user", "pipesteward")
	if err := ping(); err == nil || !strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "first") {
		t.Errorf("with the old password, a new connection: %v", err)
	}
	if err := db.SetURL(url("second")); err != nil {
		t.Fatal(err)
	}
	if err := ping(); err != nil {
		t.Errorf("with the new password: %v", err)
	}

	for _, other := range []string{"redis://pipesteward:hush@" + server.Addr + "/1", "redis://pipesteward:hush@127.0.0.1:1", "rediss://pipesteward:hush@" + server.Addr, "redis://pipesteward:hush@" + server.Addr + ":x"} {
		if err := db.SetURL(other); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s becomes the store's URL while it is open, or the password is in the error: %v", other, err)
		}
	}
	server.Do("client", "kill", "user", "pipesteward")
	if err := ping(); err != nil {
		t.Errorf("after URLs that were refused: %v", err)
	}
}
