package demo

import (
	"bytes"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"
)

//go:embed pages.html style.css
var files embed.FS

var pages = template.Must(template.ParseFS(files, "pages.html"))

// view is what a page shows.
type view struct {
	Options Options
	Self    string
	Session *description // nil: not signed in
	News    []news
	ACR     []string
	Failure string
}

// description is a session as a person reads it.
type description struct {
	Subject       string
	Since         time.Time
	Expires       time.Time
	Claims        []claim
	ID            jwt
	Access        jwt
	AccessToken   string
	Introspection string
	Refresh       bool
}

// claim is one claim and where it came from.
type claim struct{ Name, Value, From string }

// jwt is a token's parts, indented; empty for an opaque one.
type jwt struct{ Header, Payload string }

// describe prepares a session for the page.
func (rp *RelyingParty) describe(s *session) *description {
	if s == nil {
		return nil
	}
	return &description{
		Subject: s.subject, Since: s.since, Expires: s.expires, Claims: claims(s.claims, s.userinfo), ID: open(s.idToken), Access: open(s.accessToken),
		AccessToken: s.accessToken, Introspection: indent(s.introspection), Refresh: s.refreshToken != "",
	}
}

// claims lists what the ID token and the provider's answer say, by name; what both say stands once.
func claims(token, userinfo []byte) []claim {
	var list []claim
	for _, source := range []struct {
		text []byte
		name string
	}{{token, "ID token"}, {userinfo, "userinfo"}} {
		var values map[string]json.RawMessage
		if source.text == nil || json.Unmarshal(source.text, &values) != nil { // both were verified to be objects
			continue
		}
		for name, raw := range values {
			c := claim{name, readable(name, raw), source.name}
			if i := slices.IndexFunc(list, func(have claim) bool { return have.Name == c.Name && have.Value == c.Value }); i >= 0 {
				list[i].From = "both"
				continue
			}
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b claim) int { return strings.Compare(a.Name+"\x00"+a.From, b.Name+"\x00"+b.From) })
	return list
}

// readable is a claim's value without the quotes of JSON, and a time as a time.
func readable(name string, raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		return strings.Join(list, ", ")
	}
	var seconds int64
	if slices.Contains([]string{"exp", "iat", "nbf", "auth_time", "updated_at"}, name) && json.Unmarshal(raw, &seconds) == nil {
		return fmt.Sprintf("%d (%s)", seconds, time.Unix(seconds, 0).Format(time.DateTime))
	}
	return string(raw)
}

// open shows what is in a token without verifying it; nothing where it is none of the three-part kind.
func open(token string) (j jwt) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return jwt{}
	}
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return jwt{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !json.Valid(header) || !json.Valid(payload) {
		return jwt{}
	}
	return jwt{indent(header), indent(payload)}
}

func indent(text []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, text, "", "  ") != nil {
		return ""
	}
	return b.String()
}

func style(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "style.css") }

// render writes a page whole or not at all.
func render(w http.ResponseWriter, status int, name string, v *view) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, v); err != nil {
		http.Error(w, "the page cannot be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // a browser that went away needs no page
}
