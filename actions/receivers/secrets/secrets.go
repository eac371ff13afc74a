// Package secrets has the secret values of receivers: each follows its file, and none is in
// an error.
package secrets

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
)

const (
	// maxSecretFile is how many bytes of a secret's file are read.
	maxSecretFile = 64 << 10
	// maxSecrets bounds how many values are kept in order to redact them.
	maxSecrets = 10
	// redacted stands in the place of a secret.
	redacted = "[secret]"
)

// Setting is a setting with a secret value.
type Setting struct {
	Name string // the setting; that of the file ends in _file
	// Value, or the Path of the file that has it on one line.
	Value, Path string
	// Address says that parts of the value, a URL, are secrets too.
	Address bool
	// Check returns what is wrong with a value, without quoting it.
	Check func(value string) error
	Log   *slog.Logger
}

// Secret is the value of a setting. It is safe for concurrent use.
type Secret struct {
	Setting
	mu     sync.Mutex
	values []string // in force, and before that, newest first
	failed string   // why the file, as it is now, can't be used; "": it can
}

// New returns the secret of a setting, or an error that says what is wrong with its file.
func New(s Setting) (*Secret, error) {
	value := s.Value
	if s.Path != "" {
		var err error
		if value, err = s.read(); err != nil {
			return nil, err
		}
	}
	return &Secret{Setting: s, values: []string{value}}, nil
}

// Current returns the value. The file is read again; while it can't be used, the value in force
// stays, and that is logged once.
func (s *Secret) Current() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Path == "" {
		return s.values[0]
	}
	value, err := s.read()
	switch {
	case err != nil:
		if s.failed != err.Error() {
			s.Log.Error("a secret file of a receiver can't be used; the secret in force stays", "setting", s.Name, "file", s.Path, "error", err)
		}
		s.failed = err.Error()
		return s.values[0]
	case value != s.values[0]:
		s.Log.Info("a secret of a receiver has changed", "setting", s.Name, "file", s.Path)
		s.values = slices.Insert(s.values, 0, value)
		s.values = s.values[:min(len(s.values), maxSecrets)]
	}
	s.failed = ""
	return value
}

// read returns the value in the file.
func (s Setting) read() (string, error) {
	file, err := os.Open(s.Path)
	if err != nil {
		return "", fmt.Errorf("%s_file: %w", s.Name, err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxSecretFile))
	if err != nil {
		return "", fmt.Errorf("%s_file: %w", s.Name, err)
	}
	value := strings.TrimSpace(string(text))
	switch {
	case value == "":
		err = errors.New("the file is empty: write the secret into it")
	case strings.ContainsAny(value, "\r\n"):
		err = errors.New("the file must hold one line, the secret")
	default:
		err = s.Check(value)
	}
	if err != nil {
		return "", fmt.Errorf("%s_file: %s: %w", s.Name, s.Path, err)
	}
	return value, nil
}

// Redact returns the text without the secrets, those of before included, in whatever
// encoding they are sent. The receiver and proxies may repeat a request in an answer.
func Redact(text string, all []*Secret, more ...string) string {
	var pieces []string
	add := func(piece string) {
		if piece == "" {
			return
		}
		for _, sent := range []string{piece, base64.StdEncoding.EncodeToString([]byte(piece))} {
			pieces = append(pieces, sent, url.QueryEscape(sent), url.PathEscape(sent))
		}
	}
	for _, s := range all {
		s.mu.Lock()
		for _, value := range s.values {
			add(value)
			if s.Address {
				for _, part := range partsOf(value) {
					add(part)
				}
			}
		}
		s.mu.Unlock()
	}
	for _, piece := range more {
		add(piece)
	}
	// Long ones first: one may be part of another.
	slices.SortFunc(pieces, func(a, b string) int { return len(b) - len(a) })
	for _, piece := range pieces {
		text = strings.ReplaceAll(text, piece, redacted)
	}
	return text
}

// minPart is the length from which a part of an address's path can be a token; shorter
// ones are words.
const minPart = 8

// partsOf returns the parts of an address that can be secrets: user and password,
// parts of the path, and the values of the query.
func partsOf(address string) []string {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	var parts []string
	if password, ok := u.User.Password(); ok {
		parts = append(parts, password)
	}
	if user := u.User.Username(); len(user) >= minPart/2 {
		parts = append(parts, user)
	}
	if u.RequestURI() != "/" {
		parts = append(parts, u.RequestURI())
	}
	for part := range strings.SplitSeq(u.Path, "/") {
		if len(part) >= minPart {
			parts = append(parts, part)
		}
	}
	for _, values := range u.Query() {
		for _, value := range values {
			if len(value) >= minPart/2 {
				parts = append(parts, value)
			}
		}
	}
	return parts
}
