package oidc

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// asker asks an endpoint without a network: what it takes is what the provider takes.
type asker struct {
	handler http.Handler
	answer  nowhere
	request *http.Request
	form    string
	body    body
}

// nowhere is an answer of which the status and the length are kept.
type nowhere struct {
	header http.Header
	status int
	bytes  int
}

func (n *nowhere) Header() http.Header { return n.header }
func (n *nowhere) WriteHeader(s int)   { n.status = s }
func (n *nowhere) Write(b []byte) (int, error) {
	n.bytes += len(b)
	return len(b), nil
}

// body is a form that can be read again.
type body struct{ strings.Reader }

func (*body) Close() error { return nil }

func (r *rig) asker(method, path, authorization string, form ...string) *asker {
	q := url.Values{}
	for i := 0; i < len(form); i += 2 {
		q.Set(form[i], form[i+1])
	}
	a := &asker{handler: r, form: q.Encode(), request: httptest.NewRequest(method, r.url+path, nil), answer: nowhere{header: http.Header{}}}
	if len(form) > 0 {
		a.request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		a.request.ContentLength = int64(len(a.form))
		a.request.Body = &a.body
	}
	if authorization != "" {
		a.request.Header.Set("Authorization", authorization)
	}
	return a
}

// ask asks once and returns the status.
func (a *asker) ask() int {
	a.body.Reset(a.form)
	clear(a.answer.header)
	a.answer.status, a.answer.bytes = 0, 0
	a.handler.ServeHTTP(&a.answer, a.request)
	return a.answer.status
}

// askers are what machines ask most.
func (r *rig) askers() map[string]*asker {
	const basic = "Basic d2ViOmJ1aWxkZXItb2Ytd2Vicw==" // web:builder-of-webs
	token := r.browser("alice:wonderland").tokens().text("access_token")
	return map[string]*asker{
		"discovery":          r.asker(http.MethodGet, "/.well-known/openid-configuration", ""),
		"introspection":      r.asker(http.MethodPost, "/token_info", basic, "token", token),
		"userinfo":           r.asker(http.MethodGet, "/userinfo", "Bearer "+token),
		"client credentials": r.asker(http.MethodPost, "/token", basic, "grant_type", "client_credentials", "scope", "api"),
	}
}

func BenchmarkEndpoints(b *testing.B) {
	r := newRig(b)
	for name, a := range r.askers() {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if status := a.ask(); status != http.StatusOK {
					b.Fatalf("status %d", status)
				}
			}
		})
	}
}

// TestAskingAboutTokensTakesLittleMemory holds what the provider allocates for an answer against a bound, beside net/http's own.
func TestAskingAboutTokensTakesLittleMemory(t *testing.T) {
	r := newRig(t)
	askers := r.askers()
	for name, most := range map[string]int64{"discovery": 512, "introspection": 4096, "userinfo": 6144} {
		a := askers[name]
		found := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if status := a.ask(); status != http.StatusOK {
					b.Fatalf("status %d", status)
				}
			}
		})
		if bytes := found.AllocedBytesPerOp(); bytes > most || found.N == 0 {
			t.Errorf("%s: %d bytes in %d allocations, at most %d bytes are wanted", name, bytes, found.AllocsPerOp(), most)
		} else {
			t.Logf("%s: %d bytes in %d allocations", name, bytes, found.AllocsPerOp())
		}
	}
}
