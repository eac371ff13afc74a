package watch

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// gitSync publishes a commit as git-sync v4 does: a worktree in .worktrees, and a relative
// symlink that is made under another name and renamed. The worktree before is deleted.
// See publishSymlink and removeStaleWorktrees in
// https://github.com/kubernetes/git-sync/blob/master/main.go.
func gitSync(t *testing.T, root, commit, before string) {
	t.Helper()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(root, ".worktrees", commit, "rules"), 0o750),
		os.WriteFile(filepath.Join(root, ".worktrees", commit, "rules", "rules.yaml"), []byte("version: 1\n"), 0o600),
		os.Symlink(filepath.Join(".worktrees", commit), filepath.Join(root, "tmp-link")),
		os.Rename(filepath.Join(root, "tmp-link"), filepath.Join(root, "current")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if before == "" {
		return
	}
	if err := os.RemoveAll(filepath.Join(root, ".worktrees", before)); err != nil {
		t.Fatal(err)
	}
}

// Each swap of a symlink on the way to the files is reported, not only the first one,
// and so is an edit of the file that it leads to.
func TestWatchFollowsSymlinks(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{
		"directory":                     "current/rules",
		"file":                          "current/rules/rules.yaml",
		"symlink to the link":           "etc/rules",
		"symlink to a file in the link": "etc/rules.yaml",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			gitSync(t, root, "c1", "")
			for _, err := range []error{
				os.Mkdir(filepath.Join(root, "etc"), 0o750),
				os.Symlink(filepath.Join(root, "current", "rules"), filepath.Join(root, "etc", "rules")),
				os.Symlink("../current/rules/rules.yaml", filepath.Join(root, "etc", "rules.yaml")),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			w, err := New(filepath.Join(root, path))
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			// silent takes what was reported so far, and looks where the files are now.
			silent := func() {
				for {
					select {
					case <-w.Reported:
						continue
					default:
					}
					if err := w.Renew(); err != nil {
						t.Fatal(err)
					}
					return
				}
			}
			reported := func(what string) {
				await.Until(t, what, func() bool {
					select {
					case <-w.Reported:
						return true
					default:
						return false
					}
				})
			}
			before := "c1"
			for _, commit := range []string{"c2", "c3", "c4"} {
				silent()
				gitSync(t, root, commit, before)
				reported(commit + " is reported")
				before = commit
				silent()
				directory := filepath.Join(root, ".worktrees", commit, "rules")
				if all := w.watcher.WatchList(); !slices.Contains(all, directory) || !slices.Contains(all, root) {
					t.Fatalf("after commit %s, %v are watched, want %s and %s among them", commit, all, root, directory)
				}
				if err := os.WriteFile(filepath.Join(directory, "rules.yaml"), []byte("version: 1 # edited\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				reported("the edit of " + commit + " is reported")
			}
		})
	}
}

// Symlinks in a circle lead nowhere, and end.
func TestWatchOfACircle(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for from, to := range map[string]string{"a": "b", "b": "a"} {
		if err := os.Symlink(to, filepath.Join(root, from)); err != nil {
			t.Fatal(err)
		}
	}
	if all := leadingTo(filepath.Join(root, "a", "rules.yaml")); len(all) == 0 {
		t.Error("nothing is watched")
	}
}
