// Package fetch gets bounded bodies from http and https URLs that others have chosen, such as the CRLs and OCSP responders that certificates
// name. It is the node's guard against being sent somewhere: it connects to no address that only this machine or its link can reach, unless
// the operator has listed it, and says nothing of what it found there but the body.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"trine/engine/credential/certificate"
)

// Options say what a client may do.
type Options struct {
	// Allow lists addresses that may be connected to although they are of this machine or its link, such as a responder on ::1.
	Allow []netip.Prefix
	// Timeout is for one fetch from begin to end, if its context does not end before; 0: 15 s.
	Timeout time.Duration
}

const (
	maxRedirects = 3
	maxHeader    = 16 << 10
)

// ErrRefused means that a URL leads where the client does not go.
var ErrRefused = errors.New("refused to connect")

// Client fetches. It is safe for concurrent use.
type Client struct {
	http    *http.Client
	timeout time.Duration
}

// New returns a client. It uses no proxy: one would connect to addresses that this client refuses.
func New(o Options) *Client {
	if o.Timeout <= 0 {
		o.Timeout = 15 * time.Second
	}
	allow := slices.Clone(o.Allow)
	dialer := &net.Dialer{
		Timeout: 5 * time.Second,
		// Control sees the address after the name was looked up, at each try and each redirect: a name cannot change in between.
		Control: func(_, address string, _ syscall.RawConn) error { return checkAddress(address, allow) },
	}
	return &Client{timeout: o.Timeout, http: &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: 5 * time.Second, ForceAttemptHTTP2: true,
			MaxResponseHeaderBytes: maxHeader, MaxIdleConns: 16, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second,
			DisableCompression: true, // a small body could unpack to a large one
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("%w: more than %d redirects", ErrRefused, maxRedirects)
			}
			if via[len(via)-1].URL.Scheme == "https" && r.URL.Scheme == "http" {
				return fmt.Errorf("%w: a redirect from https to http", ErrRefused)
			}
			return checkURL(r.URL)
		},
	}}
}

// Fetch returns the body of the answer to a GET, or to a POST of r.Body where that is not nil. It returns an error for a URL or an address that
// is refused (ErrRefused), for any status but 200, and for a body larger than r.Limit.
func (c *Client) Fetch(ctx context.Context, r certificate.FetchRequest) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: an address that is no URL", ErrRefused)
	}
	if err := checkURL(u); err != nil {
		return nil, err
	}
	method, body := http.MethodGet, io.Reader(nil)
	if r.Body != nil {
		method, body = http.MethodPost, strings.NewReader(string(r.Body))
	}
	request, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", u.Host, err)
	}
	if r.ContentType != "" {
		request.Header.Set("Content-Type", r.ContentType)
	}
	request.Header.Set("User-Agent", "Trine")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", u.Host, shorten(err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask %s: answered with status %d", u.Host, response.StatusCode)
	}
	if response.ContentLength > r.Limit {
		return nil, fmt.Errorf("ask %s: an answer of %d bytes, and at most %d are taken", u.Host, response.ContentLength, r.Limit)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, r.Limit+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", u.Host, err)
	}
	if int64(len(answer)) > r.Limit {
		return nil, fmt.Errorf("ask %s: an answer of more than %d bytes", u.Host, r.Limit)
	}
	return answer, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

var _ certificate.Fetcher = (*Client)(nil)

func checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%w: %q is neither http nor https", ErrRefused, u.Scheme)
	case u.Host == "" || u.User != nil:
		return fmt.Errorf("%w: a URL without a host or with credentials", ErrRefused)
	}
	return nil
}

// checkAddress refuses what leads to this machine, to its link (where clouds keep their metadata) or to many at once. Private networks
// are not refused: that is where an organisation has its authorities.
func checkAddress(address string, allow []netip.Prefix) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q is no address", ErrRefused, address)
	}
	ip := to.Addr().Unmap().WithZone("")
	if slices.ContainsFunc(allow, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return nil
	}
	if ip.IsLoopback() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast() || ip.IsInterfaceLocalMulticast() ||
		slices.ContainsFunc(special[:], func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return fmt.Errorf("%w to %s, which is no address of a network; the operator can allow it", ErrRefused, ip)
	}
	return nil
}

// special are further addresses that lead to no host of a network: "this network" and broadcast; and those of IPv6 that translators take apart
// into an address of IPv4, which would not be looked at (RFC 6052, RFC 3056, RFC 4380).
var special = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("2001::/32"),
}

// shorten takes the method and the whole URL off an error of net/http: the host says enough.
func shorten(err error) error {
	var whole *url.Error
	if errors.As(err, &whole) {
		return whole.Err
	}
	return err
}
