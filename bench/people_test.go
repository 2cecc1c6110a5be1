package main

import (
	"io"
	"net/http"
	"net/url"
	"testing"
)

func TestFillsInTheFormThatAsks(t *testing.T) {
	const page = `<form action="/language" method="post"><input type="hidden" name="lang" value="es"><button>Español</button></form>
<form method="post" action="/login?a=1&amp;b=2"><input type="hidden" name="flow" value="a&quot;b"><input name="user" autocomplete="username"><input
 type="password" name="secret"><input type="checkbox" name="trust" value="yes"></form>`
	at, err := url.Parse("https://localhost:1443/authorization?x=y")
	if err != nil {
		t.Fatal(err)
	}
	r, err := fillIn(t.Context(), &http.Response{Request: &http.Request{URL: at}}, page, 7)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{"flow": {`a"b`}, "user": {"user000007"}, "secret": {"secret-000007"}}.Encode()
	if r.Method != http.MethodPost || r.URL.String() != "https://localhost:1443/login?a=1&b=2" || string(body) != want {
		t.Errorf("%s %s with %s; wanted %s", r.Method, r.URL, body, want)
	}
	if _, err := fillIn(t.Context(), &http.Response{Request: &http.Request{URL: at}}, "<p>no form</p>", 7); err == nil {
		t.Error("a page without a form was filled in")
	}
}
