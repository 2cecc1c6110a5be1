package https

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// script is a visitor who does what the test says.
type script func(c *Conn) error

func (s script) Do(c *Conn) error { return s(c) }

func serve(t *testing.T, h http.HandlerFunc) (netip.AddrPort, *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.StartTLS()
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String()), &tls.Config{InsecureSkipVerify: true}
}

func TestReadsEveryFormOfAnAnswer(t *testing.T) {
	long := strings.Repeat("a long answer ", 10_000)
	to, config := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/chunks":
			for _, part := range []string{long[:10], long[10:5000], long[5000:]} {
				fmt.Fprint(w, part)
				w.(http.Flusher).Flush()
			}
		case "/there":
			http.Redirect(w, r, "https://elsewhere.example/?code=x", http.StatusSeeOther)
		case "/nothing":
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Content-Length", fmt.Sprint(len(long)))
			fmt.Fprint(w, long)
		}
	})
	c, err := Dial(t.Context(), to, 0, config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 { // the connection goes on
		for _, want := range []struct {
			path     string
			status   int
			location string
			body     string
		}{{"/length", 200, "", long}, {"/chunks", 200, "", long}, {"/there", 303, "https://elsewhere.example/?code=x", ""}, {"/nothing", 204, "", ""}} {
			a, err := c.Exchange([]byte("GET " + want.path + " HTTP/1.1\r\nHost: localhost\r\n\r\n"))
			if err != nil {
				t.Fatalf("%s: %v", want.path, err)
			}
			if a.Status != want.status || string(a.Location) != want.location || want.path != "/there" && string(a.Body) != want.body {
				t.Errorf("%s: %d to %q with %d bytes", want.path, a.Status, a.Location, len(a.Body))
			}
		}
	}
}

func TestFailsWithTheFirstWrongAnswer(t *testing.T) {
	to, config := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	v := script(func(c *Conn) error {
		a, err := c.Exchange([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		if err != nil {
			return err
		}
		return fmt.Errorf("status %d", a.Status)
	})
	if _, err := Run(t.Context(), to, []Visitor{v, v}, Options{Duration: time.Minute, TLS: config}); err == nil || !strings.Contains(err.Error(), "status 418") {
		t.Errorf("the run ended with %v", err)
	}
}

// TestCountsFromWhenAThingWasDue: a server that stands still shows it in everything that waited.
func TestCountsFromWhenAThingWasDue(t *testing.T) {
	first := true
	to, config := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if first {
			first = false
			time.Sleep(300 * time.Millisecond)
		}
	})
	v := script(func(c *Conn) error {
		_, err := c.Exchange([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		return err
	})
	r, err := Run(t.Context(), to, []Visitor{v}, Options{Duration: 600 * time.Millisecond, Rate: 100, TLS: config})
	if err != nil {
		t.Fatal(err)
	}
	waited := 0
	for _, bar := range r.Latency.Distribution() {
		if bar.From >= int64(50*time.Millisecond) {
			waited += int(bar.Count)
		}
	}
	if waited < 10 || r.Done+r.Late < 55 {
		t.Errorf("%d of %d waited, %d came too late", waited, r.Done, r.Late)
	}
}
