package redis

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/pipesteward/pipesteward/store"
)

// modes are the words for the modes.
var modes = map[mode]string{single: "", sentinel: ", by Sentinels", cluster: ", a Cluster"}

// Describe implements store.Store. Version and memory are unknown where the user may
// not call INFO.
func (r *Store) Describe(ctx context.Context) (store.Description, error) {
	d := store.Description{Backend: "Redis", Place: strings.Join(r.url.addrs, ","), Warnings: r.warnings}
	err := r.call(ctx, func(ctx context.Context) error {
		node, err := r.node(ctx)
		if err != nil {
			return err
		}
		text, err := node.Info(ctx).Result()
		if goredis.HasErrorPrefix(err, "NOPERM") {
			return nil // a warning says so
		}
		info := parseInfo(text)
		d.Backend = "Redis " + cmp.Or(info["redis_version"], "of unknown version") + modes[r.url.mode]
		d.Used, _ = strconv.ParseInt(info["used_memory"], 10, 64)
		d.Limit, _ = strconv.ParseInt(info["maxmemory"], 10, 64)
		return err
	})
	return d, err
}
