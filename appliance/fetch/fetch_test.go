package fetch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"trine/engine/credential/certificate"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func TestAddressesOfTheMachineAndItsLinkAreRefused(t *testing.T) {
	for address, refused := range map[string]bool{
		"127.0.0.1:80":             true,
		"127.8.9.10:80":            true,
		"[::1]:80":                 true,
		"[::ffff:127.0.0.1]:80":    true,
		"0.0.0.0:80":               true,
		"0.1.2.3:80":               true,
		"[::]:80":                  true,
		"169.254.169.254:80":       true,
		"[fe80::1%eth0]:80":        true,
		"224.0.0.1:80":             true,
		"[ff02::1]:80":             true,
		"255.255.255.255:80":       true,
		"[64:ff9b::a9fe:a9fe]:80":  true,
		"[2002:7f00:1::]:80":       true,
		"no address":               true,
		"10.1.2.3:80":              false,
		"192.168.1.1:443":          false,
		"[fd00::1]:443":            false,
		"203.0.113.9:80":           false,
		"[2001:db8::1]:80":         false,
		"[::ffff:198.51.100.1]:80": false,
	} {
		if err := checkAddress(address, nil); (err != nil) != refused || err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := checkAddress("127.0.0.1:80", loopback); err != nil {
		t.Errorf("an address that is allowed: %v", err)
	}
}

func TestFetch(t *testing.T) {
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	mux.HandleFunc("/body", func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Method+" "+r.Header.Get("Content-Type")+" "+string(sent))
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		for range 100 { // without a length
			_, _ = io.WriteString(w, strings.Repeat("x", 1000))
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/missing", http.NotFound)
	mux.Handle("/once", http.RedirectHandler("/body", http.StatusFound))
	mux.Handle("/round", http.RedirectHandler("/round", http.StatusFound))
	mux.Handle("/file", http.RedirectHandler("file:///etc/passwd", http.StatusFound))
	mux.Handle("/link", http.RedirectHandler("http://169.254.169.254/latest", http.StatusFound))
	client := New(Options{Allow: loopback})
	defer client.Close()
	for name, test := range map[string]struct {
		url  string
		body []byte
		want string
		err  string
	}{
		"a GET":                          {url: server.URL + "/body", want: "GET  "},
		"a POST":                         {url: server.URL + "/body", body: []byte("asked"), want: "POST application/ocsp-request asked"},
		"a redirect":                     {url: server.URL + "/once", want: "GET  "},
		"redirects without end":          {url: server.URL + "/round", err: "redirects"},
		"a redirect to a file":           {url: server.URL + "/file", err: "neither http nor https"},
		"a redirect to the link":         {url: server.URL + "/link", err: "refused to connect"},
		"a body that is too large":       {url: server.URL + "/large", err: "more than 1000 bytes"},
		"another status":                 {url: server.URL + "/missing", err: "status 404"},
		"another scheme":                 {url: "ftp://127.0.0.1/", err: "neither http nor https"},
		"credentials":                    {url: "http://a:b@127.0.0.1/", err: "credentials"},
		"a name that means this machine": {url: "http://[::]/", err: "refused to connect"},
	} {
		t.Run(name, func(t *testing.T) {
			r := certificate.FetchRequest{URL: test.url, Body: test.body, Limit: 1000}
			if test.body != nil {
				r.ContentType = "application/ocsp-request"
			}
			got, err := client.Fetch(t.Context(), r)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %q, %v", got, err)
				}
				return
			}
			if err != nil || string(got) != test.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := New(Options{Allow: loopback}).Fetch(ctx, certificate.FetchRequest{URL: server.URL, Limit: 10}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestLoopbackIsRefusedUnlessAllowed(t *testing.T) {
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer server.Close()
	if _, err := New(Options{}).Fetch(t.Context(), certificate.FetchRequest{URL: server.URL, Limit: 10}); !errors.Is(err, ErrRefused) || asked {
		t.Errorf("got %v, asked %t", err, asked)
	}
}
