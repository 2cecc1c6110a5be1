package oidc

import (
	"html/template"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"trine/engine/event"
	"trine/engine/policy"
	"trine/protocols/web"
)

// answerJSON answers with bytes that are JSON already, which nobody keeps.
func answerJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = contentJSON
	h["Cache-Control"] = noStore
	h["Pragma"] = noCache
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// The values of headers that are the same for every answer; nothing writes to them.
var (
	contentJSON = []string{"application/json"}
	contentJWT  = []string{"application/jwt"}
	noStore     = []string{"no-store"}
	noCache     = []string{"no-cache"}
	nosniff     = []string{"nosniff"}
)

// answerError answers a machine (RFC 6749 section 5.2). The id leads to what `trine explain` tells.
func answerError(w http.ResponseWriter, r *refusal, id uint64, basic bool) {
	status := r.status
	if status == 0 {
		status = http.StatusBadRequest
	}
	if status == http.StatusUnauthorized && basic {
		w.Header().Set("WWW-Authenticate", `Basic realm="token endpoint", charset="UTF-8"`)
	}
	answerJSON(w, status, errorBody(r, id))
}

func errorBody(r *refusal, id uint64) []byte {
	o := newObject(make([]byte, 0, 256))
	o.text("error", r.code)
	o.given("error_description", described(r, id))
	return o.end()
}

// described returns the words of a refusal, in the characters that an error_description may have (RFC 6749 section 5.2).
func described(r *refusal, id uint64) string {
	text := strings.Map(func(c rune) rune {
		switch {
		case c == '"':
			return '\''
		case c == '\\' || c < ' ' || c > '~':
			return '?'
		}
		return c
	}, r.words)
	if id != 0 {
		text += " (reference " + event.FormatID(id) + ")"
	}
	return text
}

// answerBearer answers who brought no access token that is good (RFC 6750 section 3).
func answerBearer(w http.ResponseWriter, r *refusal, id uint64) {
	status := r.status
	if status == 0 {
		status = http.StatusUnauthorized
	}
	challenge := `Bearer error="` + r.code + `", error_description="` + described(r, id) + `"`
	if r.code == "" {
		challenge = "Bearer"
	}
	w.Header().Set("WWW-Authenticate", challenge)
	if r.code == "" {
		w.Header()["Cache-Control"] = noStore
		w.WriteHeader(status)
		return
	}
	answerJSON(w, status, errorBody(r, id))
}

// readRequest reads the parameters of a request that a browser makes: its query, or its form. Other methods it answers itself, and returns false.
func readRequest(x *web.Exchange) (q params, ok bool, err error) {
	switch x.R.Method {
	case http.MethodGet, http.MethodHead:
		q, err = parseParams(x.R.URL.RawQuery)
	case http.MethodPost:
		q, err = readForm(x.R)
	default:
		x.W.Header().Set("Allow", "GET, POST")
		x.W.WriteHeader(http.StatusMethodNotAllowed)
		return q, false, nil
	}
	return q, true, err
}

// readForm reads the form of a request. A form that is none, or too long, is refused.
func readForm(r *http.Request) (params, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return params{}, errForm
	}
	body, err := readBody(r, maxRequest)
	if err != nil {
		return params{}, err
	}
	return parseParams(string(body))
}

// readBody reads a body of a bounded length.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, errLong
	}
	if n := r.ContentLength; n > 0 {
		body := make([]byte, n)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return nil, errParams
		}
		return body, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	switch {
	case err != nil:
		return nil, errParams
	case int64(len(body)) > limit:
		return nil, errLong
	}
	return body, nil
}

// send sends an authorization response to the client by way of the browser (OAuth 2.0 Multiple Response Type Encoding Practices, Form Post Response Mode 1.0).
func send(w http.ResponseWriter, r *http.Request, a *authRequest, issuer *policy.Issuer, response params) {
	if a.state != "" {
		response.list = append(response.list, param{"state", a.state})
	}
	response.list = append(response.list, param{"iss", issuer.URL}) // RFC 9207
	h := w.Header()
	h["Cache-Control"] = noStore
	h["Pragma"] = noCache
	h.Set("Referrer-Policy", "no-referrer")
	if a.mode == modeForm {
		sendForm(w, a.redirectURI, response.list)
		return
	}
	target := a.redirectURI
	switch {
	case a.mode == modeFragment:
		target += "#"
	case !strings.Contains(target, "?"):
		target += "?"
	case !strings.HasSuffix(target, "?") && !strings.HasSuffix(target, "&"):
		target += "&"
	}
	h.Set("Location", target+response.encode())
	w.WriteHeader(http.StatusSeeOther)
}

// formScript sends the form. Its hash is in the policy of the page.
const (
	formScript     = "document.forms[0].submit()"
	formScriptHash = "sha256-ePniVEkSivX/c7XWBGafqh8tSpiRrKiqYeqbG7N1TOE="
)

var formPage = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Continue</title></head>
<body><form method="post" action="{{.Action}}">{{range .Fields}}
<input type="hidden" name="{{.Name}}" value="{{.Value}}">{{end}}
<noscript><p>Your browser runs no scripts.</p><button type="submit">Continue</button></noscript>
</form><script>` + formScript + `</script></body></html>
`))

func sendForm(w http.ResponseWriter, action string, fields []param) {
	type input struct{ Name, Value string }
	page := struct {
		Action template.URL // one of the redirect URIs of the client, whose schemes are checked when they are applied
		Fields []input
	}{Action: template.URL(action)}
	for _, f := range fields {
		page.Fields = append(page.Fields, input{f.name, f.value})
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src '"+formScriptHash+"'; base-uri 'none'; frame-ancestors 'none'")
	h["X-Content-Type-Options"] = nosniff
	w.WriteHeader(http.StatusOK)
	_ = formPage.Execute(w, page)
}

// originOf returns the origin of a URL; empty for what has none.
func originOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
