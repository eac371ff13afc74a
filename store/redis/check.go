package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// oldestVersion is the oldest version that has all commands, and whose scripts
// may write after they read the clock.
var oldestVersion = [2]int{6, 2}

const (
	// openTries is how often Open inspects a Redis that does not answer or is
	// loading its data, with a pause of openPause in between.
	openTries = 5
	openPause = 500 * time.Millisecond
)

// await inspects Redis as soon as it answers.
func (r *Store) await(ctx context.Context) error {
	for try := 1; ; try++ {
		err := r.inspect(ctx)
		_, slow := errors.AsType[*noAnswerError](err)
		if try == openTries || !slow && !goredis.HasErrorPrefix(err, "LOADING") {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(openPause):
		}
	}
}

// inspect returns an error if Redis cannot be used as a store, and collects the
// warnings.
func (r *Store) inspect(ctx context.Context) error {
	var info map[string]string
	var appendfsync string
	r.warnings = nil
	err := r.call(ctx, func(ctx context.Context) error {
		node, err := r.node(ctx)
		if err != nil {
			return err
		}
		text, err := node.Info(ctx).Result()
		if goredis.HasErrorPrefix(err, "NOPERM") {
			r.warnings = append(r.warnings, fmt.Sprintf("%v does not let this user call INFO: its version and settings were not checked", r.url))
			return nil
		}
		if err != nil {
			return err
		}
		info = parseInfo(text)
		// Managed services forbid this, and take care of it themselves.
		config, _ := node.ConfigGet(ctx, "appendfsync").Result()
		appendfsync = config["appendfsync"]
		return nil
	})
	if err != nil {
		return err
	}
	if info != nil {
		if err := checkServer(info, r.url.mode); err != nil {
			return fmt.Errorf("store: %v %w", r.url, err)
		}
		for _, w := range durabilityWarnings(info, appendfsync) {
			r.warnings = append(r.warnings, fmt.Sprintf("%v %s", r.url, w))
		}
	}
	return r.checkFormat(ctx)
}

// node returns a client of the node that has the store's keys.
func (r *Store) node(ctx context.Context) (*goredis.Client, error) {
	switch c := r.client.(type) {
	case *goredis.ClusterClient:
		return c.MasterForKey(ctx, r.prefix)
	case *goredis.Client:
		return c, nil
	}
	return nil, errors.ErrUnsupported
}

// parseInfo reads the reply to INFO: lines of name:value.
func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

// checkServer returns an error if the Redis with this info cannot be used in the
// mode.
func checkServer(info map[string]string, mode mode) error {
	var version [2]int
	if _, err := fmt.Sscanf(info["redis_version"], "%d.%d", &version[0], &version[1]); err != nil {
		return fmt.Errorf("has the version %q: it is no Redis", info["redis_version"])
	}
	switch policy := info["maxmemory_policy"]; {
	case version[0] < oldestVersion[0] || version[0] == oldestVersion[0] && version[1] < oldestVersion[1]:
		return fmt.Errorf("has version %s: %d.%d or newer is needed", info["redis_version"], oldestVersion[0], oldestVersion[1])
	case info["redis_mode"] == "sentinel":
		return errors.New("is a Sentinel: use redis+sentinel://host:port/master-name")
	case info["redis_mode"] == "cluster" && mode != cluster:
		return errors.New("is part of a Cluster: use redis+cluster://")
	case info["role"] == "slave":
		return errors.New("is a replica: use its master, or redis+sentinel://, which finds it")
	case policy != "noeviction" && policy != "":
		return fmt.Errorf("has maxmemory-policy %s, which may drop what is queued: set it to noeviction", policy)
	}
	return nil
}

// durabilityWarnings returns the settings that may lose acknowledged records.
func durabilityWarnings(info map[string]string, appendfsync string) []string {
	switch {
	case info["aof_enabled"] == "0":
		return []string{"has no append-only file: when it stops, records are lost that were acknowledged; set appendonly yes"}
	case appendfsync != "" && appendfsync != "always":
		return []string{fmt.Sprintf("has appendfsync %s: when its machine loses power, the records of the last seconds are lost; always loses none", appendfsync)}
	}
	return nil
}

// checkFormat returns an error if another version of this program wrote the keys
// in another format.
func (r *Store) checkFormat(ctx context.Context) error {
	reply, err := r.run(ctx, "format", []string{r.prefix + "format"}, formatVersion)
	if err != nil {
		return err
	}
	if v, _ := reply.Text(); v != formatVersion {
		return fmt.Errorf("store: %v has format %q, and this program reads format %q: use the version that wrote it", r.url, v, formatVersion)
	}
	return nil
}

// formatVersion is the version of the format of the keys and values; it changes
// with the format.
const formatVersion = "1"
