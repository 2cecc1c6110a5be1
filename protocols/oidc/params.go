package oidc

import (
	"errors"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Bounds of requests.
const (
	maxParams    = 100      // parameters of one request
	maxRequest   = 64 << 10 // bytes of a query or a form
	maxParameter = 32 << 10 // bytes of one parameter
)

var (
	errParams = errors.New("the request has too many parameters, or one that is not encoded as a form is")
	errForm   = errors.New("the content type is not application/x-www-form-urlencoded")
	errLong   = errors.New("the request, or one of its parameters, is too long")
)

// params are the parameters of a request, in their order.
type params struct {
	list []param
	// twice is the name of a parameter that came more than once and may not; empty if there is none (RFC 6749 section 3.1).
	twice string
}

type param struct{ name, value string }

// repeatable reports whether a parameter may come more than once (RFC 8707 section 2, RFC 8693 section 2.1).
func repeatable(name string) bool { return name == "resource" || name == "audience" }

// parseParams reads a query or a form. A parameter without a value counts as one that was left out (RFC 6749 section 3.1).
func parseParams(raw string) (p params, err error) {
	if len(raw) > maxRequest {
		return p, errLong
	}
	if raw == "" {
		return p, nil
	}
	p.list = make([]param, 0, 1+min(strings.Count(raw, "&"), maxParams))
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		if name, err = unescape(name); err != nil {
			return p, err
		}
		if value, err = unescape(value); err != nil {
			return p, err
		}
		if len(value) > maxParameter || len(name) > 256 {
			return p, errLong
		}
		if len(p.list) >= maxParams {
			return p, errParams
		}
		if p.twice == "" && p.has(name) && !repeatable(name) {
			p.twice = name
		}
		p.list = append(p.list, param{name, value})
	}
	return p, nil
}

func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		if !utf8.ValidString(s) {
			return "", errParams
		}
		return s, nil
	}
	s, err := url.QueryUnescape(s)
	if err != nil || !utf8.ValidString(s) {
		return "", errParams
	}
	return s, nil
}

func (p *params) has(name string) bool {
	for i := range p.list {
		if p.list[i].name == name {
			return true
		}
	}
	return false
}

// get returns the first value of a parameter; empty where there is none.
func (p *params) get(name string) string {
	for i := range p.list {
		if p.list[i].name == name {
			return p.list[i].value
		}
	}
	return ""
}

// all returns the values of a parameter.
func (p *params) all(name string) (values []string) {
	for i := range p.list {
		if p.list[i].name == name && p.list[i].value != "" {
			values = append(values, p.list[i].value)
		}
	}
	return values
}

// set replaces the values of a parameter.
func (p *params) set(name string, values ...string) {
	kept := make([]param, 0, len(p.list)+len(values))
	for _, q := range p.list {
		if q.name != name {
			kept = append(kept, q)
		}
	}
	for _, v := range values {
		kept = append(kept, param{name, v})
	}
	p.list = kept
}

// encode returns the parameters as a form.
func (p *params) encode() string {
	var b strings.Builder
	for i, q := range p.list {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(q.name))
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(q.value))
	}
	return b.String()
}

// words returns the words of a list that blanks separate.
func words(text string) []string { return strings.Fields(text) }
