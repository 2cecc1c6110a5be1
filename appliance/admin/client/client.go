package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"trine/appliance/admin/api"
)

// SocketName is the name of the administration socket in a data directory.
const SocketName = "trine.sock"

// maxAnswer bounds an answer that is read as a whole.
const maxAnswer = 256 << 20

// Options say where the node is and who asks.
type Options struct {
	// Data is the node's data directory, whose socket is used unless Server is set.
	Data string
	// Server is the URL of the management listener, such as https://127.0.0.1:1444.
	Server string
	// Key is the API key for Server.
	Key string
	// CA is a file of certificates in PEM, one of which must have issued the server's; empty: the system's.
	CA string
	// Insecure skips the check of the server's certificate. It is refused unless Server is a loopback address.
	Insecure bool
}

// Client speaks to one node. It is safe for concurrent use.
type Client struct {
	base  string // URL without a slash at its end
	where string // for messages
	data  string // data directory, when the socket is used
	key   string
	http  *http.Client
}

// UnreachableError means that no node answers where the client looked.
type UnreachableError struct {
	Where string
	Data  string // data directory, when it was looked for there
	Err   error
}

// Error implements error; it says what to do.
func (e *UnreachableError) Error() string {
	if e.Data != "" {
		if errors.Is(e.Err, os.ErrNotExist) || errors.Is(e.Err, errRefused) {
			return fmt.Sprintf("no node is running on data directory %s (nothing answers at %s); start one with: trine serve --data %s", e.Data, e.Where, e.Data)
		}
		if errors.Is(e.Err, os.ErrPermission) {
			return fmt.Sprintf("the node's socket %s may be opened by root and the node's user only", e.Where)
		}
	}
	var stranger x509.UnknownAuthorityError
	if errors.As(e.Err, &stranger) {
		return fmt.Sprintf("the certificate of %s is of no issuer that is known here; give it with --ca (a self-signed one is management.crt in the node's data directory)", e.Where)
	}
	return fmt.Sprintf("cannot reach the node at %s: %v", e.Where, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// New returns a client. It does not connect yet. Its errors are about the options.
func New(o Options) (*Client, error) {
	if o.Server == "" {
		return newLocal(o.Data)
	}
	u, err := url.Parse(o.Server)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("server %q is not a URL such as https://127.0.0.1:1444", o.Server)
	}
	if u.Scheme != "https" {
		return nil, fmt.Errorf("server %q must be an https URL: the API key would be readable on the way", o.Server)
	}
	if o.Key == "" {
		return nil, errors.New("a server needs an API key: give --api-key or set TRINE_API_KEY (trine apikey create makes one on the node)")
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.Insecure {
		if !loopbackHost(u.Hostname()) {
			return nil, fmt.Errorf("the certificate of %s must be checked: skipping that is for loopback addresses only; give its issuer with --ca", u.Hostname())
		}
		config.InsecureSkipVerify = true
	}
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, fmt.Errorf("read CA file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %s holds no certificate in PEM", o.CA)
		}
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext}
	return &Client{base: strings.TrimRight(u.Scheme+"://"+u.Host+u.Path, "/"), where: o.Server, key: o.Key, http: &http.Client{Transport: transport, CheckRedirect: noRedirect}}, nil
}

func newLocal(data string) (*Client, error) {
	if data == "" {
		return nil, errors.New("give the node's data directory (--data) or its URL (--server)")
	}
	socket := filepath.Join(data, SocketName)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		if _, err := os.Stat(socket); err != nil {
			return nil, err
		}
		conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", socket)
		if isRefused(err) {
			return nil, errRefused
		}
		return conn, err
	}}
	return &Client{base: "http://node", where: socket, data: data, http: &http.Client{Transport: transport, CheckRedirect: noRedirect}}, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// noRedirect keeps the API key from following a redirect.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func loopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// isRefused reports whether a socket exists but nobody listens on it, as after a node was killed.
func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// errRefused means that a socket is there and nobody listens.
var errRefused = errors.New("nobody listens on the socket")

// request is one call of the API.
type request struct {
	method string
	path   string // below /api/v1, escaped
	query  url.Values
	header http.Header
	body   io.Reader
	kind   string // Content-Type of body
}

// send sends a request and returns the response if its status is a success, else the problem.
func (c *Client) send(ctx context.Context, q request) (*http.Response, error) {
	target := c.base + "/api/v1" + q.path
	if len(q.query) > 0 {
		target += "?" + q.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, q.method, target, q.body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	for k, v := range q.header {
		req.Header[k] = v
	}
	if q.kind != "" {
		req.Header.Set("Content-Type", q.kind)
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if q.method == http.MethodPost {
		// The transport repeats a request that has such a key when a kept connection turns out to be dead.
		req.Header.Set("Idempotency-Key", rand.Text())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &UnreachableError{Where: c.where, Data: c.data, Err: err}
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, problemIn(resp)
}

// problemIn reads the problem that a response carries, or makes one of its status.
func problemIn(resp *http.Response) *api.Problem {
	data, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	var p api.Problem
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "application/problem+json" || json.Unmarshal(data, &p) != nil || p.Status == 0 {
		return api.NewProblem(resp.StatusCode, api.ReasonInternal, "the server answered %s, which is no answer of a Trine node", resp.Status)
	}
	return &p
}

// do sends a request and decodes the JSON answer into out, unless out is nil.
func (c *Client) do(ctx context.Context, q request, out any) (http.Header, error) {
	resp, err := c.send(ctx, q)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
		return resp.Header, err
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return nil, fmt.Errorf("read the node's answer: %w", err)
	}
	return resp.Header, nil
}

// get sends a GET and decodes its answer.
func get[T any](ctx context.Context, c *Client, path string, query url.Values) (*T, error) {
	out := new(T)
	if _, err := c.do(ctx, request{method: http.MethodGet, path: path, query: query}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// remove sends a DELETE to which there is no answer but whether it was done.
func (c *Client) remove(ctx context.Context, path string, query url.Values) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: path, query: query}, nil)
	return err
}

// post sends a POST with a JSON body and decodes its answer.
func post[T any](ctx context.Context, c *Client, path string, in any) (*T, error) {
	data, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	out := new(T)
	if _, err := c.do(ctx, request{method: http.MethodPost, path: path, body: bytes.NewReader(data), kind: "application/json"}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// at builds a path of escaped segments.
func at(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}
