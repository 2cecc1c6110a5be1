package main

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"trine/bench/packets"
)

// person is somebody who has logged in, with what the browser keeps.
type person struct{ cookies string }

// browse is a browser of its own, without script, from an address of its own.
func browse(to netip.AddrPort, i int) (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(1+i/250), byte(1+i%250))}}
	return &http.Client{Jar: jar, Timeout: time.Minute, Transport: &http.Transport{
		TLSClientConfig: config(),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", to.String())
		},
	}, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), webCallback) {
			return http.ErrUseLastResponse // nobody is there
		}
		return nil
	}}, nil
}

var (
	inputTag  = regexp.MustCompile(`(?is)<input\b[^>]*>`)
	formTag   = regexp.MustCompile(`(?is)<form\b[^>]*>.*?</form>`)
	attribute = regexp.MustCompile(`(?is)\b([a-z-]+)\s*=\s*"([^"]*)"`)
)

func attributes(tag string) map[string]string {
	found := map[string]string{}
	tag, _, _ = strings.Cut(tag, ">")
	for _, m := range attribute.FindAllStringSubmatch(tag, -1) {
		found[strings.ToLower(m[1])] = html.UnescapeString(m[2])
	}
	return found
}

// logIn logs a person in as a browser does: it follows what it is sent to and fills in the forms that ask for a name and a password.
func logIn(ctx context.Context, to netip.AddrPort, host string, i int) (*person, error) {
	client, err := browse(to, i)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	q := url.Values{"client_id": {"app"}, "response_type": {"code"}, "redirect_uri": {webCallback}, "scope": {"openid"}, "state": {"a-state-of-some-length"}, "nonce": {"a-nonce"}}
	at := "https://" + host + "/authorization?" + q.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	for range 6 {
		resp, err := client.Do(request)
		if err != nil {
			return nil, err
		}
		page, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return nil, err
		}
		if location := resp.Header.Get("Location"); strings.HasPrefix(location, webCallback) {
			if !strings.Contains(location, "code=") {
				return nil, fmt.Errorf("sent back without a code: %s", location)
			}
			var kept []string
			for _, c := range client.Jar.Cookies(&url.URL{Scheme: "https", Host: host, Path: "/"}) {
				kept = append(kept, c.Name+"="+c.Value)
			}
			return &person{cookies: strings.Join(kept, "; ")}, nil
		}
		if request, err = fillIn(ctx, resp, string(page), i); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("asked again and again")
}

// fillIn answers the form of a page that asks for a password or a name.
func fillIn(ctx context.Context, resp *http.Response, page string, i int) (*http.Request, error) {
	for _, text := range formTag.FindAllString(page, -1) {
		values, asked := url.Values{}, false
		for _, tag := range inputTag.FindAllString(text, -1) {
			switch a := attributes(tag); a["type"] {
			case "hidden":
				values.Set(a["name"], a["value"])
			case "password":
				values.Set(a["name"], packets.Password(i))
				asked = true
			case "", "text", "email":
				values.Set(a["name"], packets.User(i))
				asked = true
			}
		}
		if !asked {
			continue
		}
		to, err := resp.Request.URL.Parse(attributes(text)["action"])
		if err != nil {
			return nil, err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(values.Encode()))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Origin", "https://"+resp.Request.URL.Host)
		return request, nil
	}
	return nil, fmt.Errorf("%s: no form that asks for name or password in %.2000s", resp.Status, page)
}

// storm logs people in, who have not logged in before, many at a time, until it is killed. Who is turned away because too much is under way comes again.
func storm(address, host string) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	next := make(chan int)
	var wait sync.WaitGroup
	for range 32 {
		wait.Go(func() {
			for i := range next {
				_, _ = logIn(context.Background(), to, host, i) // some are turned away; that is the storm
			}
		})
	}
	for {
		for i := webQueue; i < webPeople; i++ {
			next <- i
		}
	}
}
