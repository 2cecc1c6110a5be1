package browser

import (
	"crypto/tls"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// surfer is a browser without script: it follows what it is sent to, keeps cookies and fills in forms. Relying parties of others are tested with it, for which no
// Chromium is needed.
type surfer struct {
	t    *testing.T
	http *http.Client
	at   *url.URL
	page string
	code int
	stop string // an address at whose beginning it stays before it goes there
}

func (s *site) surfer() *surfer {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	f := &surfer{t: s.t}
	f.http = &http.Client{Jar: jar, Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.pool}}}
	f.http.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if f.stop != "" && strings.HasPrefix(r.URL.String(), f.stop) {
			f.at = r.URL
			return http.ErrUseLastResponse
		}
		if len(via) > 10 {
			return errors.New("sent on again and again")
		}
		return nil
	}
	s.t.Cleanup(f.http.CloseIdleConnections)
	return f
}

func (f *surfer) read(resp *http.Response, err error) *surfer {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	f.code, f.page = resp.StatusCode, string(text)
	if f.code < 300 || f.code > 399 {
		f.at = resp.Request.URL
	}
	return f
}

func (f *surfer) visit(at string) *surfer {
	f.t.Helper()
	r, err := http.NewRequest(http.MethodGet, at, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	return f.read(f.http.Do(r))
}

var (
	formTag   = regexp.MustCompile(`(?is)<form\b.*?</form>`)
	fieldTag  = regexp.MustCompile(`(?is)<(input|button)\b[^>]*>`)
	attribute = regexp.MustCompile(`(?is)\s([a-z-]+)(?:\s*=\s*"([^"]*)")?`)
)

func attributes(tag string) map[string]string {
	found := map[string]string{}
	tag, _, _ = strings.Cut(tag, ">")
	for _, m := range attribute.FindAllStringSubmatch(tag, -1) {
		found[strings.ToLower(m[1])] = html.UnescapeString(m[2])
	}
	return found
}

// submit fills in the first form that has a field of each type that is given (password, text), in pairs of type and value, and sends it.
func (f *surfer) submit(fields ...string) *surfer {
	f.t.Helper()
	for _, form := range formTag.FindAllString(f.page, -1) {
		values, given := url.Values{}, map[string]bool{}
		pressed := false
		for _, tag := range fieldTag.FindAllString(form, -1) {
			a := attributes(tag)
			kind, name := a["type"], a["name"]
			if strings.HasPrefix(strings.ToLower(tag), "<button") {
				if name != "" && !pressed { // as Enter does, the first
					values.Set(name, a["value"])
				}
				pressed = true
				continue
			}
			if kind == "" {
				kind = "text"
			}
			if kind == "hidden" {
				values.Set(name, a["value"])
				continue
			}
			for i := 0; i < len(fields); i += 2 {
				if kind == fields[i] && !given[kind] {
					values.Set(name, fields[i+1])
					given[kind] = true
				}
			}
		}
		if len(given) < len(fields)/2 {
			continue
		}
		to, err := f.at.Parse(attributes(form)["action"])
		if err != nil {
			f.t.Fatal(err)
		}
		r, err := http.NewRequest(http.MethodPost, to.String(), strings.NewReader(values.Encode()))
		if err != nil {
			f.t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", to.Scheme+"://"+to.Host)
		return f.read(f.http.Do(r))
	}
	f.t.Fatalf("no form with fields of %q at %s:\n%s", fields, f.at, f.page)
	return f
}

// sees fails where the page does not hold a text.
func (f *surfer) sees(texts ...string) *surfer {
	f.t.Helper()
	for _, text := range texts {
		if !strings.Contains(html.UnescapeString(f.page), text) {
			f.t.Fatalf("no %q at %s (%d):\n%s", text, f.at, f.code, f.page)
		}
	}
	return f
}

// in logs a user in where the page asks for it.
func (f *surfer) in(user string) *surfer {
	f.t.Helper()
	return f.submit("text", user, "password", secretOf)
}
