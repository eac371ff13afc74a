package mcp_test

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/handlers/mcp"
)

// TestStdioLines: each line that is no message is answered with the error that JSON-RPC has for it,
// and the session goes on to its end.
func TestStdioLines(t *testing.T) {
	t.Parallel()
	const (
		initialize = `{"jsonrpc": "2.0", "id": "first", "method": "initialize", "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}}`
		ping       = `{"jsonrpc": "2.0", "id": "last", "method": "ping"}`
	)
	for _, c := range []struct {
		name, line string
		id         any // of the answer
		code       int // of the error; 0: there is no answer
	}{
		{"an empty line", "", nil, 0},
		{"spaces", " \t ", nil, 0},
		{"a carriage return", "\r", nil, 0},
		{"text", "hello", nil, -32700},
		{"half a message", `{"jsonrpc": "2.0", "id": 7,`, nil, -32700},
		{"two messages in a line", ping + ping, nil, -32700},
		{"no UTF-8", "\xff\xfe", nil, -32700},
		{"zero bytes", "\x00\x00", nil, -32700},
		{"deep nesting", strings.Repeat("[", 100_000), nil, -32700},
		{"a long line", `{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": {"x": "` + strings.Repeat("x", 5<<20) + `"}}`, nil, -32600},
		{"a number", "42", nil, -32600},
		{"a batch", "[" + ping + "]", nil, -32600},
		{"another version", `{"jsonrpc": "1.0", "id": 7, "method": "ping"}`, float64(7), -32600},
		{"an empty object", "{}", nil, -32600},
		{"a method that is no text", `{"jsonrpc": "2.0", "id": "seven", "method": 7}`, "seven", -32600},
		{"an id that is a list", `{"jsonrpc": "2.0", "id": [7], "method": "ping"}`, nil, -32600},
		{"an unknown method", `{"jsonrpc": "2.0", "id": 7, "method": "no such method"}`, float64(7), -32601},
		{"parameters that are none", `{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": 7}`, float64(7), -32602},
		{"an unknown tool", `{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "none"}}`, float64(7), -32602},
		{"an answer to no request", `{"jsonrpc": "2.0", "id": 7, "result": {}}`, nil, 0},
		{"spaces around a message", " \t" + `{"jsonrpc": "2.0", "id": 7, "method": "no such method"}` + " \r", float64(7), -32601},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in, write := io.Pipe()
			read, out := io.Pipe()
			ended := make(chan error, 1)
			go func() {
				err := mcp.ServeStdio(t.Context(), mcp.NewServer(mcp.Sources{Version: "v1"}), in, out)
				_, _ = out.Close(), in.Close()
				ended <- err
			}()
			answers := json.NewDecoder(read)
			type answered struct {
				ID    any
				Error struct{ Code int }
			}
			next := func() (answer answered) {
				if err := answers.Decode(&answer); err != nil {
					t.Fatalf("no answer: %v", err)
				}
				return answer
			}
			send := func(line string) {
				if _, err := io.WriteString(write, line); err != nil {
					t.Fatal(err)
				}
			}
			send(initialize + "\n")
			if first := next(); first.ID != "first" || first.Error.Code != 0 {
				t.Fatalf("initialize is answered with %+v", first)
			}
			send(c.line + "\n")
			if c.code != 0 {
				if got := next(); got.ID != c.id || got.Error.Code != c.code {
					t.Errorf("answer %+v, want the error %d to %v", got, c.code, c.id)
				}
			}
			send(ping + "\n")
			if last := next(); last.ID != "last" || last.Error.Code != 0 {
				t.Errorf("ping is answered with %+v", last)
			}
			_ = write.Close()
			if err := <-ended; err != nil {
				t.Errorf("the session ends with %v", err)
			}
		})
	}
}
