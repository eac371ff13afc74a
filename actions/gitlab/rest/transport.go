package rest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// MaxLog is how many bytes of a log are read: GitLab's own default limit of a
// job log. The rest of a longer one is ignored.
const MaxLog = 100 << 20

// Bounds on what is read of one answer that is no log.
const (
	maxJSON   = 16 << 20 // a page of 100 jobs has about 0.5 MB
	maxRefuse = 64 << 10 // an answer that is no success
)

// newHTTPClient returns the client that sends every request, by next or, if that
// is nil, by a transport with time-outs of its own.
func newHTTPClient(next http.RoundTripper, timeout time.Duration) *http.Client {
	if next == nil {
		next = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			ForceAttemptHTTP2:     true,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
			MaxIdleConns:          32,
			MaxIdleConnsPerHost:   16,
			IdleConnTimeout:       90 * time.Second,
		}
	}
	return &http.Client{Transport: boundedTransport{next}, CheckRedirect: checkRedirect, Timeout: timeout}
}

// checkRedirect follows a GET within its scheme and host, five times at most.
// net/http would send the PRIVATE-TOKEN header to any host, and turn a redirected
// POST into a GET that does nothing and succeeds; such redirects are returned as
// the answer.
func checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	if first.Method != http.MethodGet || req.URL.Scheme != first.URL.Scheme || req.URL.Host != first.URL.Host || len(via) > 5 {
		return http.ErrUseLastResponse
	}
	return nil
}

// boundedTransport bounds the bodies of answers. It copies the body of an answer
// that is no success to the target of withRefusal.
type boundedTransport struct{ next http.RoundTripper }

// withRefusal makes boundedTransport write the body of an answer that is no
// success into body. The response can't serve for that later: http.Client wraps its
// body if there is a time-out, and client-go drops the body of a 404.
func withRefusal(ctx context.Context, body *[]byte) context.Context {
	return context.WithValue(ctx, refusalKey{}, body)
}

type refusalKey struct{}

// RoundTrip sends req and bounds the answer.
func (t boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if !readableLink(resp.Header.Get("Link")) {
		_ = resp.Body.Close()
		return nil, errors.New("the answer's Link header can't be read")
	}
	switch {
	case resp.StatusCode >= 300:
		content := readRefusal(resp.Body)
		if into, ok := req.Context().Value(refusalKey{}).(*[]byte); ok {
			*into = content
		}
		resp.Body = io.NopCloser(bytes.NewReader(content))
	case strings.HasSuffix(req.URL.Path, "/trace"):
		resp.Body = &boundedBody{ReadCloser: resp.Body, left: MaxLog, end: io.EOF}
	default:
		resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxJSON, end: errTooLong}
	}
	return resp, nil
}

// readableLink reports whether client-go can read a Link header: it panics on
// a parameter without "=".
func readableLink(header string) bool {
	for link := range strings.SplitSeq(header, ",") {
		if parts := strings.Split(link, ";"); len(parts) > 1 && !strings.Contains(parts[1], "=") {
			return false
		}
	}
	return true
}

var errTooLong = fmt.Errorf("longer than %d bytes", maxJSON)

// boundedBody ends with end after left bytes.
type boundedBody struct {
	io.ReadCloser
	left int64
	end  error
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, b.end
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// readRefusal reads the beginning of a body and closes it.
func readRefusal(body io.ReadCloser) []byte {
	defer func() { _ = body.Close() }()
	content, _ := io.ReadAll(io.LimitReader(body, maxRefuse)) // after an error, the part before it
	return content
}
