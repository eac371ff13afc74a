//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
	"go.yaml.in/yaml/v4"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// standIn stands in for a program that a test can't run, or should not: it checks what the
// repository knows of the command line, does what the page goes on with, and no more.
type standIn func(ctx context.Context, s *sandbox, args []string) error

// standIns returns the stand-ins of programs, by their names.
func standIns() map[string]standIn {
	return map[string]standIn{
		"apt":        installs,
		"cosign":     verifies,
		"curl":       curl,
		"docker":     docker,
		"helm":       installsChart,
		"git":        prints("v1.2.3\n"),
		"go":         goTool,
		"journalctl": hasUnit,
		"kubectl":    kubectl,
		"make":       makes,
		"man":        readsManualPage,
		"openssl":    prints(testSecret + "\n"),
		"sh":         nestedShell,
		"sha256sum":  verifies,
		"sleep":      prints(""), // nothing here needs time
		"sudo":       sudo,
		"sudoedit":   writesSecrets,
		"systemctl":  systemctl,
	}
}

// prints returns a stand-in that prints a text.
func prints(text string) standIn {
	return func(ctx context.Context, _ *sandbox, _ []string) error {
		_, err := io.WriteString(interp.HandlerCtx(ctx).Stdout, text)
		return err
	}
}

// sudo runs the command as who runs the test.
func sudo(ctx context.Context, s *sandbox, args []string) error {
	return s.programs(interp.DefaultExecHandler(0))(ctx, args[1:])
}

// nestedShell runs the script of `sh -c`.
func nestedShell(ctx context.Context, s *sandbox, args []string) error {
	if len(args) != 3 || args[1] != "-c" {
		return fmt.Errorf("%q is not sh -c SCRIPT", args)
	}
	return s.nested(ctx, args[2])
}

// nested runs a script in a shell of its own, as a command of another shell.
func (s *sandbox) nested(ctx context.Context, script string) error {
	outer := interp.HandlerCtx(ctx)
	file, err := syntax.NewParser().Parse(strings.NewReader(script), "")
	if err != nil {
		return err
	}
	shell, err := interp.New(interp.Dir(outer.Dir), interp.Env(outer.Env), interp.StdIO(nil, outer.Stdout, outer.Stderr), interp.ExecHandlers(s.programs))
	if err != nil {
		return err
	}
	return shell.Run(ctx, file)
}

// makes runs the commands that make would run.
func makes(ctx context.Context, s *sandbox, args []string) error {
	shell := interp.HandlerCtx(ctx)
	cmd := exec.CommandContext(ctx, "make", append([]string{"--dry-run", "--no-print-directory"}, args[1:]...)...)
	cmd.Dir = shell.Dir
	script, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%q: %w", args, err)
	}
	return s.nested(ctx, string(script))
}

// goTool runs our program for go run, and makes an empty file for go build.
func goTool(ctx context.Context, s *sandbox, args []string) error {
	const program = "./cmd/pipesteward"
	switch {
	case len(args) > 2 && args[1] == "run" && args[2] == program:
		return s.pipesteward(ctx, args[2:])
	case len(args) > 2 && args[1] == "build" && args[len(args)-1] == program:
		return os.WriteFile(filepath.Join(interp.HandlerCtx(ctx).Dir, args[slices.Index(args, "-o")+1]), nil, 0o600)
	}
	return fmt.Errorf("%q neither runs nor builds our program", args)
}

// readsManualPage wants a manual page on standard input.
func readsManualPage(ctx context.Context, _ *sandbox, _ []string) error {
	page, err := io.ReadAll(interp.HandlerCtx(ctx).Stdin)
	if err == nil && !strings.Contains(string(page), ".TH ") {
		err = fmt.Errorf("man is given no manual page: %.100q", page)
	}
	return err
}

// curl sends GETs to the server in the sandbox, whatever address they name, and wants 200.
func curl(_ context.Context, s *sandbox, args []string) error {
	for _, arg := range args[1:] {
		if !strings.HasPrefix(arg, "http") {
			continue
		}
		address, err := url.Parse(arg)
		if err != nil {
			return err
		}
		if s.serving == nil {
			return fmt.Errorf("%q: nothing serves", args)
		}
		if code, text := s.serving.get(address.Path); code != http.StatusOK {
			return fmt.Errorf("%s: %d %s", address.Path, code, text)
		}
	}
	return nil
}

// started has a server run, as after a command that starts it elsewhere.
func (s *sandbox) started() {
	if s.serving == nil {
		s.serving = s.run()
	}
}

// docker checks what a command line names, and runs a command in a container as if it were
// none.
func docker(ctx context.Context, s *sandbox, args []string) error {
	dir := interp.HandlerCtx(ctx).Dir
	switch args[1] {
	case "build":
		return hasStage(dir, args)
	case "compose":
		return compose(ctx, s, dir, args)
	case "exec":
		return s.pipesteward(ctx, args[3:])
	case "push":
		return nil
	case "run":
		s.started()
		return hasMounts(args)
	}
	return fmt.Errorf("%q: there is no stand-in for docker %s", args, args[1])
}

// hasStage checks the file of a docker build, and its stage.
func hasStage(dir string, args []string) error {
	file, err := os.ReadFile(filepath.Join(dir, args[slices.Index(args, "-f")+1]))
	if err != nil {
		return err
	}
	if i := slices.Index(args, "--target"); i > 0 && !strings.Contains(string(file), " AS "+args[i+1]+"\n") {
		return fmt.Errorf("%q: the file has no stage %s", args, args[i+1])
	}
	return nil
}

// hasMounts checks that variables are settings of serve, and that what is mounted is there.
func hasMounts(args []string) error {
	for i, arg := range args[:len(args)-1] {
		value := args[i+1]
		name, _, _ := strings.Cut(value, "=")
		host, _, _ := strings.Cut(value, ":")
		if arg == "-e" && strings.HasPrefix(name, "PIPESTEWARD_") && !isSetting(name) {
			return fmt.Errorf("%q: there is no setting %s", args, name)
		}
		if _, err := os.Stat(host); arg == "-v" && filepath.IsAbs(host) && err != nil {
			return err
		}
	}
	return nil
}

// isSetting reports whether a variable is a setting of serve.
func isSetting(variable string) bool {
	return slices.ContainsFunc(serveFlags(), func(f cli.Flag) bool {
		name := env(f.Names()[0])
		return variable == name || variable == name+"_FILE"
	})
}

// compose checks the services of a docker compose against its file, and the file .env.
func compose(ctx context.Context, s *sandbox, dir string, args []string) error {
	text, err := os.ReadFile(filepath.Join(dir, "compose.yaml"))
	if err != nil {
		return err
	}
	var file struct{ Services map[string]any }
	if err := yaml.Unmarshal(text, &file); err != nil {
		return err
	}
	env, err := os.ReadFile(filepath.Join(dir, ".env"))
	if err != nil {
		return err
	}
	for _, match := range regexp.MustCompile(`(?m)^\w+`).FindAllString(string(env), -1) {
		if !strings.Contains(string(text), match) {
			return fmt.Errorf(".env has %s, which compose.yaml does not have", match)
		}
	}
	words := slices.DeleteFunc(slices.Clone(args[3:]), func(arg string) bool { return strings.HasPrefix(arg, "-") })
	if args[2] == "exec" {
		words = words[:1]
	}
	for _, service := range words {
		if file.Services[service] == nil {
			return fmt.Errorf("%q: compose.yaml has no service %s", args, service)
		}
	}
	s.started()
	if args[2] == "exec" && args[4] == "pipesteward" {
		return s.pipesteward(ctx, args[4:])
	}
	return nil
}

// verifies checks that the files that a command verifies are those that a release has.
func verifies(_ context.Context, _ *sandbox, args []string) error {
	release, err := os.ReadFile(filepath.Join(repositoryTop, ".goreleaser.yaml"))
	if err != nil {
		return err
	}
	for _, arg := range args {
		if strings.HasPrefix(arg, "checksums.txt") && !strings.Contains(string(release), strings.TrimPrefix(arg, "checksums.txt")) {
			return fmt.Errorf("%q: a release has no %s", args, arg)
		}
	}
	return nil
}

// installs checks that a package is one that a release has, and installs its unit.
func installs(_ context.Context, s *sandbox, args []string) error {
	release, err := os.ReadFile(filepath.Join(repositoryTop, ".goreleaser.yaml"))
	if err != nil {
		return err
	}
	is := regexp.MustCompile(`^\./pipesteward_\*_(amd64|arm64)\.(deb|rpm)$`).FindStringSubmatch(args[len(args)-1])
	if is == nil || !strings.Contains(string(release), is[1]) || !strings.Contains(string(release), is[2]) {
		return fmt.Errorf("%q: a release has no such package", args)
	}
	unit, err := os.ReadFile(filepath.Join(repositoryTop, "deploy/pipesteward.service"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.root, "etc/systemd/system/pipesteward.service"), unit, 0o600)
}

// installsChart checks that the chart and the files that helm is given are there.
func installsChart(ctx context.Context, s *sandbox, args []string) error {
	if len(args) < 4 || args[1] != "install" {
		return fmt.Errorf("%q is not helm install NAME CHART", args)
	}
	files := []string{filepath.Join(args[3], "Chart.yaml")}
	for i, arg := range args[:len(args)-1] {
		switch arg {
		case "-f":
			files = append(files, args[i+1])
		case "--set-file":
			_, file, _ := strings.Cut(args[i+1], "=")
			files = append(files, file)
		}
	}
	for _, file := range files {
		if _, err := os.Stat(filepath.Join(interp.HandlerCtx(ctx).Dir, file)); err != nil {
			return err
		}
	}
	s.started()
	return nil
}

// kubectl makes secrets of the chart, and runs our program in a container.
func kubectl(ctx context.Context, s *sandbox, args []string) error {
	if at := slices.Index(args, "--"); at > 0 && at+1 < len(args) && slices.Contains(args, "exec") {
		if args[at+1] != filepath.Join(s.root, "usr/local/bin/pipesteward") {
			return fmt.Errorf("%q: the image has no %s", args, args[at+1])
		}
		return s.pipesteward(ctx, args[at+1:])
	}
	return hasSecretsOfChart(ctx, s, args)
}

// hasSecretsOfChart checks that the keys of a secret are among those that the chart takes,
// by its schema or by what the deployment mounts.
func hasSecretsOfChart(_ context.Context, _ *sandbox, args []string) error {
	chart := filepath.Join(repositoryTop, "deploy/helm/pipesteward")
	schema, err1 := os.ReadFile(filepath.Join(chart, "values.schema.json"))
	deployment, err2 := os.ReadFile(filepath.Join(chart, "templates/deployment.yaml"))
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	for _, arg := range args {
		if name, is := strings.CutPrefix(arg, "--from-file="); is && !strings.Contains(string(schema), `"`+name+`"`) && !strings.Contains(string(deployment), "{key: "+name+",") {
			return fmt.Errorf("%q: the chart has no secret %s", args, name)
		}
	}
	return nil
}

// writesSecrets writes what a person would type into files of secrets that are there.
func writesSecrets(_ context.Context, _ *sandbox, args []string) error {
	for _, file := range args[1:] {
		if _, err := os.Stat(file); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(secretsByFile[filepath.Base(file)]+"\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// systemctl starts what a unit starts.
func systemctl(ctx context.Context, s *sandbox, args []string) error {
	if args[1] == "daemon-reload" {
		return nil
	}
	s.started()
	return hasUnit(ctx, s, args)
}

// hasUnit checks that the unit which a command names last is installed.
func hasUnit(_ context.Context, s *sandbox, args []string) error {
	if len(args) < 2 {
		return errors.New("no unit is named")
	}
	_, err := os.Stat(filepath.Join(s.root, "etc/systemd/system", args[len(args)-1]+".service"))
	return err
}
