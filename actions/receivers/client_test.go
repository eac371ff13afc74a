package receivers_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/receivers"
	"github.com/pipesteward/pipesteward/rules/receiver"
)

// What is wrong with a secret's file is told at the start, by the file's name and without its
// content.
func TestNewReadsFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	d := receiver.Definition{Name: "ops", Kind: receiver.Feishu, SecretFile: write("secret", " secret-token \n")}
	for name, c := range map[string]struct{ path, want string }{
		"missing":   {filepath.Join(dir, "none"), "no such file"},
		"empty":     {write("empty", "\n"), "the file is empty"},
		"two lines": {write("lines", "secret-token\nsecret-token"), "must hold one line"},
		"another":   {write("another", "https://example.com/secret-token"), "it is not the address of a custom bot"},
		"directory": {dir, "is a directory"},
	} {
		d.URLFile = c.path
		_, err := receivers.New(d, receivers.Config{Now: time.Now})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `receiver "ops": url_file: `) || strings.Contains(err.Error(), "secret-token") {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.URLFile = write("url", "https://open.feishu.cn/open-apis/bot/v2/hook/secret-token\n")
	client, err := receivers.New(d, receivers.Config{Now: time.Now})
	if err != nil || client.Name() != "ops" || client.Kind() != "feishu" {
		t.Errorf("%v, %v", client, err)
	}
	if _, err := receivers.New(d, receivers.Config{}); err == nil {
		t.Error("a client without a clock is made")
	}
}
