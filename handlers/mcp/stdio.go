package mcp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// ServeStdio serves an assistant that writes messages to in, one a line, and reads them from
// out, until in ends, or ctx is done: then it returns the error of ctx.
func ServeStdio(ctx context.Context, s *sdk.Server, in io.Reader, out io.Writer) error {
	l := &lines{in: bufio.NewReader(in), out: out}
	return s.Run(ctx, &sdk.IOTransport{Reader: l, Writer: l})
}

// lines are the two directions of a session. The SDK ends a session at a line that is no
// message, and so would forget the calls in progress: lines answers such a line itself, with an
// error of JSON-RPC, and leaves it out.
type lines struct {
	in   *bufio.Reader
	rest []byte // of the message that is being read

	mu  sync.Mutex // guards out: what is written is one line
	out io.Writer
}

// Read implements io.Reader. It reads messages only.
func (l *lines) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		line, err := l.next()
		if err != nil {
			return 0, err
		}
		if err := l.accept(line); err != nil {
			return 0, err
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// Write implements io.Writer: the SDK writes each message at once.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

// Close implements io.Closer; neither direction ends with the session.
func (*lines) Close() error { return nil }

// next returns the next line, at most one byte more than maxRequest of it. It returns io.EOF
// after the last one, which need not end with a newline.
func (l *lines) next() (line []byte, err error) {
	for {
		part, err := l.in.ReadSlice('\n')
		line = append(line, part[:min(len(part), maxRequest+1-len(line))]...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0, err == nil:
			return line, nil
		default:
			return nil, err
		}
	}
}

// accept has a line read next if it is a message, and else answers it. An error is one of
// writing the answer.
func (l *lines) accept(line []byte) error {
	message := bytes.TrimSpace(line)
	var id any
	switch {
	case len(message) == 0:
		return nil
	case len(line) > maxRequest:
		return l.refuse(id, jsonrpc.CodeInvalidRequest, fmt.Sprintf("the line has more than %d bytes", maxRequest))
	case !json.Valid(message):
		return l.refuse(id, jsonrpc.CodeParseError, "the line is no JSON: write each message as one JSON object in one line")
	}
	if _, err := jsonrpc.DecodeMessage(message); err != nil {
		return l.refuse(idOf(message), jsonrpc.CodeInvalidRequest, "the line is no JSON-RPC message: "+err.Error())
	}
	l.rest = append(l.rest, message...)
	l.rest = append(l.rest, '\n')
	return nil
}

// idOf returns the id of something that is no message, nil if it has none that an answer can
// have.
func idOf(message []byte) any {
	var with struct{ ID any }
	if json.Unmarshal(message, &with) != nil {
		return nil
	}
	switch with.ID.(type) {
	case string, float64:
		return with.ID
	}
	return nil
}

// refuse answers a line that is no message.
func (l *lines) refuse(id any, code int, text string) error {
	answer, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "error": map[string]any{"code": code, "message": text}})
	if err != nil {
		return err
	}
	_, err = l.Write(append(answer, '\n'))
	return err
}
