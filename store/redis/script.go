package redis

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/pipesteward/pipesteward/store"
)

// script is one file in lua, after lib.lua.
type script struct{ source, sha string }

//go:embed lua/*.lua
var luaFiles embed.FS

// loadScripts returns the scripts by the names of their files without .lua.
func loadScripts(prelude string) (map[string]script, error) {
	files, err := fs.Glob(luaFiles, "lua/*.lua")
	if err != nil {
		return nil, err
	}
	lib, err := luaFiles.ReadFile("lua/lib.lua")
	if err != nil {
		return nil, err
	}
	start := fmt.Sprintf("local maxAmendments = %d\n%s%s", store.MaxAmendments, lib, prelude)
	scripts := map[string]script{}
	for _, file := range files {
		text, err := luaFiles.ReadFile(file)
		if err != nil {
			return nil, err
		}
		source := start + string(text)
		sum := sha1.Sum([]byte(source))
		scripts[strings.TrimSuffix(path.Base(file), ".lua")] = script{source, hex.EncodeToString(sum[:])}
	}
	return scripts, nil
}

// run runs a script; scripts never return nil.
func (r *Store) run(ctx context.Context, name string, keys []string, args ...any) (*goredis.Cmd, error) {
	var reply *goredis.Cmd
	err := r.call(ctx, func(ctx context.Context) error {
		reply = r.eval(ctx, name, keys, args...)
		return reply.Err()
	})
	return reply, err
}

// eval sends the hash of a script, and its source if Redis does not know it yet.
func (r *Store) eval(ctx context.Context, name string, keys []string, args ...any) *goredis.Cmd {
	s := r.scripts[name]
	reply := r.send(ctx, "evalsha", s.sha, keys, args)
	if goredis.HasErrorPrefix(reply.Err(), "NOSCRIPT") {
		reply = r.send(ctx, "eval", s.source, keys, args)
	}
	return reply
}

func (r *Store) send(ctx context.Context, command, script string, keys []string, args []any) *goredis.Cmd {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, command, script, len(keys))
	for _, key := range keys {
		all = append(all, key)
	}
	cmd := goredis.NewCmd(ctx, append(all, args...)...)
	cmd.SetFirstKeyPos(3)
	if err := r.client.Process(ctx, once{cmd}); err != nil {
		cmd.SetErr(err)
	}
	return cmd
}

// once is a command that is not sent again if its reply is lost: a second Done
// would find its lease lost because of the first.
type once struct{ *goredis.Cmd }

// NoRetry implements redis.Cmder.
func (once) NoRetry() bool { return true }

// runNumber runs a script that returns a number.
func (r *Store) runNumber(ctx context.Context, name string, keys []string, args ...any) (int64, error) {
	reply, err := r.run(ctx, name, keys, args...)
	if err != nil {
		return 0, err
	}
	return reply.Int64()
}

// runList runs a script that returns a list.
func (r *Store) runList(ctx context.Context, name string, keys []string, args ...any) (*replyList, error) {
	reply, err := r.run(ctx, name, keys, args...)
	if err != nil {
		return nil, err
	}
	rest, err := reply.Slice()
	return &replyList{rest: rest}, err
}

// replyList reads values from the front of a script's reply.
type replyList struct{ rest []any }

func (l *replyList) number() int64 {
	n, _ := l.take().(int64)
	return n
}

func (l *replyList) string() string {
	s, _ := l.take().(string)
	return s
}

func (l *replyList) take() any {
	v := l.rest[0]
	l.rest = l.rest[1:]
	return v
}

// micros returns d in microseconds, the unit of the scripts, rounded up. A
// negative d counts as 0.
func micros(d time.Duration) int64 { return roundUp(d, time.Microsecond) }

// millis returns d in milliseconds, the unit of times to live, rounded up. A
// negative d counts as 0.
func millis(d time.Duration) int64 { return roundUp(d, time.Millisecond) }

func roundUp(d, unit time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d-1)/unit) + 1
}

func fromMicros(t int64) time.Time { return time.UnixMicro(t).UTC() }
