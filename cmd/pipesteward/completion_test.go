package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bashCompletion has what the script of bash needs, from the package bash-completion.
const bashCompletion = "/usr/share/bash-completion/bash_completion"

// TestCompletion: shells complete commands, flags and files, where they are installed.
func TestCompletion(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(program, filepath.Join(dir, "pipesteward")); err != nil {
		t.Skip("this system has no symbolic links for the shells to find the program by:", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rules.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	type completed struct {
		typed string
		want  []string
	}
	lines := []completed{
		{"pipesteward ser", []string{"serve"}},
		{"pipesteward queue ", []string{"drop", "list", "requeue"}},
		{"pipesteward serve --log-", []string{"--log-format", "--log-level", "--log-window"}},
		{"pipesteward status --admin-", []string{"--admin-ca", "--admin-url"}},
	}
	for shell, script := range map[string]string{
		"bash": `. ` + bashCompletion + `; . "$1"
			read -ra COMP_WORDS <<<"$2"; case $2 in *' ') COMP_WORDS+=('');; esac
			COMP_CWORD=$((${#COMP_WORDS[@]}-1)) COMP_LINE=$2 COMP_POINT=${#2}
			eval "$(complete -p pipesteward | sed 's/.*-F \([^ ]*\).*/\1/')"; printf '%s\n' "${COMPREPLY[@]}"`,
		"zsh": `autoload -Uz compinit; compinit -u -D; source "$1"
			_describe() { print -l -- ${opts%%:*} }
			words=(${(s: :)2}); case $2 in (*' ') words+=('');; esac
			$_comps[pipesteward]`,
		"fish": `source $argv[1]; complete -C $argv[2]`,
	} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(shell); errors.Is(err, exec.ErrNotFound) {
				t.Skipf("install %s to have it complete commands", shell)
			}
			if _, err := os.Stat(bashCompletion); shell == "bash" && err != nil {
				t.Skip("install bash-completion to have bash complete commands")
			}
			code, text, stderr := called(t, "completion", shell)
			if code != 0 {
				t.Fatal(stderr)
			}
			file := filepath.Join(dir, shell+".script")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			lines := lines
			if shell == "fish" { // the other shells complete files after the script has proposed nothing
				lines = append(slices.Clone(lines), completed{"pipesteward check rul", []string{"rules.yaml"}}, completed{"pipesteward serve --rules rul", []string{"rules.yaml"}})
			}
			for _, line := range lines {
				args := []string{"-c", script, shell, file, line.typed}
				if shell == "fish" { // has no name of the script among its arguments
					args = []string{"-c", script, file, line.typed}
				}
				cmd := exec.CommandContext(t.Context(), shell, args...)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), asProgram+"=1", "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+dir)
				out, err := cmd.CombinedOutput()
				for _, want := range line.want {
					if !strings.Contains("\n"+string(out), "\n"+want) {
						t.Errorf("%q is not completed to %s: %v\n%s", line.typed, want, err, out)
					}
				}
				if other := "\nsweep"; strings.Contains("\n"+string(out), other) && shell != "zsh" { // zsh itself drops what does not match
					t.Errorf("%q is completed to what does not match:\n%s", line.typed, out)
				}
			}
		})
	}
}
