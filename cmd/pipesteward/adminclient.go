package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/user"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
)

const defaultAdminURL = "http://127.0.0.1:9090"

// adminFlags name the running server that a command calls.
func adminFlags() []cli.Flag {
	return []cli.Flag{stringFlag("admin-url", defaultAdminURL, "`URL` of the running server's --admin-listen")}
}

// adminTimeout bounds one call of the admin API.
const adminTimeout = 20 * time.Second

// callAdmin calls the admin API of the running server that the command's flags name.
// body and into are JSON; a nil body sends none. Its errors are the server's words.
func callAdmin(ctx context.Context, c *cli.Command, method, path string, body, into any) error {
	base := c.String("admin-url")
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(base, "/")+path, bytes.NewReader(content))
	if err != nil || req.URL.Host == "" {
		return &usageError{fmt.Errorf("--admin-url: %q is not a URL: write for instance %s", base, defaultAdminURL)}
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("no server answers at %s (start `serve`, or give its --admin-listen as --admin-url): %w", base, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answered, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("the answer of %s: %w", base, err)
	}
	if resp.StatusCode != http.StatusOK {
		var refused struct{ Error string }
		if json.Unmarshal(answered, &refused) == nil && refused.Error != "" {
			return errors.New(refused.Error)
		}
		return fmt.Errorf("%s answers %s: is it the --admin-listen of `serve`?", base, resp.Status)
	}
	if err := json.Unmarshal(answered, into); err != nil {
		return fmt.Errorf("%s gives no JSON (%w): is it the --admin-listen of `serve`?", base, err)
	}
	return nil
}

// whoRuns returns the name of the user who runs the command, "" where the
// system does not know it.
func whoRuns() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}
