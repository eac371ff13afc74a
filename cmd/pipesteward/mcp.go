package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/unknown"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/handlers/mcp"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

// mcpCommand returns the command whose standard output is the protocol's alone.
func mcpCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "mcp",
		Usage: "serve tools that only read to an assistant, by the Model Context Protocol",
		Description: "An assistant starts this command, and speaks to it on standard input and output. The tools why, decisions, report,\n" +
			"unknown and propose query a running server, as the commands of these names do; explain needs none: it evaluates the\n" +
			"rule files of --rules as they are at each call, and reads GitLab with --gitlab-token. A server has the same tools at\n" +
			"/mcp on its --admin-listen, where explain is by the rules in force.",
		Flags: append(append(append(adminFlags(), flagsOf("rules", "gitlab-url", "gitlab-alias")...), passingFlags()...),
			secretFlag("gitlab-token", tokenUsage(scopeRead)),
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			if slices.Contains(c.StringSlice("passing"), "-") {
				return &usageError{errors.New("--passing: standard input is the assistant's: give files")}
			}
			o, err := readSettings(c)
			if err := app.JoinSettings(err, o.CheckGiven()); err != nil {
				return err
			}
			gl, err := explainedGitLab(o)
			if err != nil {
				return err
			}
			read, err := readFacts(c, gl)
			if err != nil {
				return err
			}
			if err := checkAdmin(c); err != nil {
				return err // nobody would see it in each call
			}
			server := mcp.NewServer(mcp.Sources{
				API:       remoteAPI{c},
				Explainer: newExplainer(o, func() (*rules.Rules, error) { return app.LoadRules(o.Rules, rulefile.Options{}) }, gl, read),
				Passing:   func(cluster unknown.Cluster) (unknown.Logs, error) { return logsFor(c, cluster) },
				Version:   thisBuild().String(),
			})
			if err := mcp.ServeStdio(ctx, server, os.Stdin, stdout); ctx.Err() == nil {
				return err
			}
			return nil // the assistant ends it by a signal
		},
	}
}

// remoteAPI is the API of the running server that a command's flags name.
type remoteAPI struct{ c *cli.Command }

// Get implements mcp.API. Errors about the server say what to set: the person reads them in an
// answer of the assistant.
func (r remoteAPI) Get(ctx context.Context, path string, query url.Values, into any) error {
	err := callAdmin(ctx, r.c, http.MethodGet, path+"?"+query.Encode(), nil, into)
	if _, unanswered := errors.AsType[*unansweredError](err); unanswered {
		return fmt.Errorf("this tool needs a running server, unlike explain: set PIPESTEWARD_ADMIN_URL of `pipesteward mcp` to it: %w", err)
	}
	if refused, is := errors.AsType[*refusedError](err); is && (refused.status == http.StatusUnauthorized || refused.status == http.StatusForbidden) {
		return fmt.Errorf("the server refuses `pipesteward mcp`, whose credentials are PIPESTEWARD_ADMIN_USER and PIPESTEWARD_ADMIN_PASSWORD, or PIPESTEWARD_ADMIN_TOKEN: %w", err)
	}
	return err
}
