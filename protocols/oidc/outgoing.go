package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v4"

	"trine/engine/document"
)

// outgoing makes the requests that clients have us make: for their keys, their sectors, and to tell them of a logout. They could lead anywhere, so none goes to an
// address that only this network knows, unless it is listed; none follows a redirect; and each is bounded in size and time.
type outgoing struct {
	client  *http.Client
	private []netip.Prefix
	timeout time.Duration
}

const fetchTimeout = 5 * time.Second

var errPrivate = errors.New("the address is one of a private network; list it in --oidc-private-addresses if clients may have this node ask there")

func newOutgoing(private []netip.Prefix, roots *x509.CertPool) *outgoing {
	o := &outgoing{private: private, timeout: fetchTimeout}
	dialer := &net.Dialer{Timeout: fetchTimeout, Control: o.control}
	o.client = &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
			MaxIdleConns: 100, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: fetchTimeout, ResponseHeaderTimeout: fetchTimeout,
			MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return o
}

// control looks at each address before it is connected to, whatever name it was found by.
func (o *outgoing) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("read address %q: %w", address, err)
	}
	if a := at.Addr().Unmap().WithZone(""); !public(a) && !o.listed(a) {
		return errPrivate
	}
	return nil
}

func (o *outgoing) listed(a netip.Addr) bool {
	for _, p := range o.private {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// public reports whether an address is one that everybody on the Internet means the same by.
func public(a netip.Addr) bool {
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return false
	}
	for _, text := range [...]string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "100::/64"} {
		if netip.MustParsePrefix(text).Contains(a) {
			return false
		}
	}
	return true
}

// get returns what an https URL leads to, where it is no longer than a limit.
func (o *outgoing) get(ctx context.Context, address string, limit int) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("fetch %q: it is no https URL", short(address))
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch %q: %w", short(address), err)
	}
	request.Header.Set("Accept", "application/json, application/jwk-set+json")
	response, err := o.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("fetch %q: %w", short(address), err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch %q: answered with status %d", short(address), response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, int64(limit)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("fetch %q: %w", short(address), err)
	case len(body) > limit:
		return nil, fmt.Errorf("fetch %q: the answer is longer than %d bytes", short(address), limit)
	}
	return body, nil
}

// post sends a form and returns an error unless it was answered with success.
func (o *outgoing) post(ctx context.Context, address string, form url.Values) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("call %q: %w", short(address), err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := o.client.Do(request)
	if err != nil {
		return fmt.Errorf("call %q: %w", short(address), err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.CopyN(io.Discard, response.Body, 4<<10)
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusNoContent {
		return fmt.Errorf("call %q: answered with status %d", short(address), response.StatusCode)
	}
	return nil
}

// How long what was fetched is used, and how often an address is asked.
const (
	keysLast   = time.Hour
	keysAgain  = time.Minute // for a kid that is not known, and after an error
	keysStale  = 24 * time.Hour
	maxFetched = 4096 // addresses that are remembered
)

// fetchedKeys are the public keys of clients at addresses of theirs.
type fetchedKeys struct {
	out   *outgoing
	clock func() time.Time

	mu  sync.Mutex
	all map[string]*fetchedSet
}

type fetchedSet struct {
	mu    sync.Mutex // held while it is fetched, so that one asks for all
	keys  *jose.JSONWebKeySet
	at    time.Time // when keys were fetched
	tried time.Time
	err   error
}

func newFetchedKeys(out *outgoing, clock func() time.Time) *fetchedKeys {
	return &fetchedKeys{out: out, clock: clock, all: map[string]*fetchedSet{}}
}

// get returns the keys at an address; with again such as were fetched within the last minute, since the others lack a key.
func (f *fetchedKeys) get(ctx context.Context, address string, again bool) (*jose.JSONWebKeySet, error) {
	f.mu.Lock()
	s := f.all[address]
	if s == nil {
		if len(f.all) >= maxFetched { // forget them all: they are fetched again when they are needed
			clear(f.all)
		}
		s = new(fetchedSet)
		f.all[address] = s
	}
	f.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := f.clock()
	fresh := s.keys != nil && now.Sub(s.at) < keysLast
	switch {
	case fresh && (!again || now.Sub(s.tried) < keysAgain):
		return s.keys, nil
	case !s.tried.IsZero() && now.Sub(s.tried) < keysAgain:
		return s.usable(now)
	}
	s.tried = now
	text, err := f.out.get(ctx, address, document.MaxJWKS)
	var set *jose.JSONWebKeySet
	if err == nil {
		set, err = parseKeys(text)
	}
	if err != nil {
		s.err = err
		return s.usable(now)
	}
	s.keys, s.at, s.err = set, now, nil
	return s.keys, nil
}

// usable returns the keys of before while the address cannot be asked, for a day.
func (s *fetchedSet) usable(now time.Time) (*jose.JSONWebKeySet, error) {
	if s.keys != nil && now.Sub(s.at) < keysStale {
		return s.keys, nil
	}
	if s.err == nil {
		s.err = errors.New("the client's keys could not be fetched")
	}
	return nil, s.err
}
