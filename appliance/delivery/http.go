package delivery

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"trine/engine/document"
	"trine/engine/message"
	"trine/engine/secret"
)

const (
	// maxHTTPAttempts is how often a message is tried: each attempt may have been one that arrived, and may cost money.
	maxHTTPAttempts = 4
	maxResponse     = 64 << 10
)

// httpGateway asks an HTTP gateway to send text messages or push challenges. Nothing that a person or a text chose becomes part of the URL's path, of a header
// field's name, or of the structure of a body.
type httpGateway struct {
	spec     *document.HTTPGateway
	client   *http.Client
	secret   func(secret.Text) (string, error)
	query    map[string][]valueTemplate
	form     map[string][]valueTemplate
	json     any
	response *regexp.Regexp // nil: any
}

type valueTemplate = message.Template[document.GatewayValues]

func newHTTP(spec *document.HTTPGateway, open func(secret.Text) (string, error)) (func() (carrier, error), error) {
	h := &httpGateway{spec: spec, secret: open}
	var err error
	if h.query, err = parseValues(spec.Query); err != nil {
		return nil, err
	}
	if h.form, err = parseValues(spec.Form); err != nil {
		return nil, err
	}
	if spec.JSON != "" {
		if h.json, err = document.ParseJSONTemplate(spec.JSON); err != nil {
			return nil, err
		}
	}
	if spec.Response != "" {
		if h.response, err = regexp.Compile(spec.Response); err != nil {
			return nil, fmt.Errorf("compile response: %w", err)
		}
	}
	config, err := tlsConfig(spec.Authorities)
	if err != nil {
		return nil, err
	}
	h.client = &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: config, ForceAttemptHTTP2: true, DialContext: (&net.Dialer{Timeout: spec.Timeout}).DialContext,
			TLSHandshakeTimeout: spec.Timeout, MaxResponseHeaderBytes: 64 << 10, MaxIdleConns: workers, MaxConnsPerHost: workers, IdleConnTimeout: idleTime,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func() (carrier, error) { return h, nil }, nil
}

func parseValues(from map[string]document.Values) (map[string][]valueTemplate, error) {
	if from == nil {
		return nil, nil
	}
	out := make(map[string][]valueTemplate, len(from))
	for name, values := range from {
		for _, v := range values {
			t, err := message.Parse[document.GatewayValues](v)
			if err != nil {
				return nil, err
			}
			out[name] = append(out[name], t)
		}
	}
	return out, nil
}

// tlsConfig returns a configuration that verifies the server by the given authorities, or by the system's.
func tlsConfig(authorities string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if authorities != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(authorities)) {
			return nil, errors.New("there is no certificate in authorities")
		}
	}
	return config, nil
}

func (h *httpGateway) close() { h.client.CloseIdleConnections() }

func (h *httpGateway) carry(ctx context.Context, p *parcel) error {
	key, err := h.secret(h.spec.Secret)
	if err != nil {
		return err
	}
	r, err := h.request(ctx, p, key)
	if err != nil {
		return err
	}
	resp, err := h.client.Do(r)
	if err != nil {
		var u *url.Error // it repeats the URL, whose query may hold the code and the secret
		if errors.As(err, &u) {
			err = u.Err
		}
		return fmt.Errorf("ask the gateway: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	said := ""
	if p.verbose && len(body) > 0 {
		said = ": " + printable(strings.NewReplacer(secretOr(key), secret.Mark).Replace(string(body)))
	}
	switch {
	case h.succeeded(resp.StatusCode):
		if h.response != nil && !h.response.Match(body) {
			return refused("the gateway answered %d, and its response does not match %q%s", resp.StatusCode, h.response, said)
		}
		return nil
	case resp.StatusCode == http.StatusRequestTimeout, resp.StatusCode == http.StatusTooEarly, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode >= 500:
		return fmt.Errorf("the gateway answered %d%s", resp.StatusCode, said)
	}
	return refused("the gateway answered %d%s", resp.StatusCode, said)
}

// secretOr returns a text to look for that is never empty.
func secretOr(key string) string {
	if key == "" {
		return secret.Mark
	}
	return key
}

func (h *httpGateway) succeeded(status int) bool {
	if len(h.spec.Statuses) == 0 {
		return status >= 200 && status <= 299
	}
	return slices.Contains(h.spec.Statuses, status)
}

// request builds the request. Values are put in place whole, by url.Values and the JSON encoder, so that none can end what it stands in.
func (h *httpGateway) request(ctx context.Context, p *parcel, key string) (*http.Request, error) {
	values := document.GatewayValues{To: p.to, Text: p.body, Challenge: p.challenge, Ticket: p.ticket, ID: p.id, UserName: h.spec.UserName}
	if h.spec.Auth == "template" {
		values.Secret = key
	}
	target, err := url.Parse(h.spec.URL)
	if err != nil {
		return nil, errors.New("the gateway's URL cannot be read")
	}
	query, err := fillIn(h.query, values)
	if err != nil {
		return nil, err
	}
	if len(query) > 0 {
		if target.RawQuery != "" {
			target.RawQuery += "&"
		}
		target.RawQuery += query.Encode()
	}
	var body []byte
	kind := ""
	switch {
	case h.form != nil:
		form, err := fillIn(h.form, values)
		if err != nil {
			return nil, err
		}
		body, kind = []byte(form.Encode()), "application/x-www-form-urlencoded"
	case h.json != nil:
		tree, err := document.EachText(h.json, func(text string) (string, error) {
			t, err := message.Parse[document.GatewayValues](text)
			if err != nil {
				return "", err
			}
			return t.Execute(values)
		})
		if err != nil {
			return nil, err
		}
		if body, err = json.Marshal(tree); err != nil {
			return nil, fmt.Errorf("encode the body: %w", err)
		}
		kind = "application/json"
	}
	r, err := http.NewRequestWithContext(ctx, h.spec.Method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the gateway's URL cannot be used")
	}
	r.Header.Set("User-Agent", "trine")
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	for name, list := range h.spec.Headers {
		r.Header[http.CanonicalHeaderKey(name)] = list
	}
	return r, h.authorize(r, key)
}

func fillIn(templates map[string][]valueTemplate, values document.GatewayValues) (url.Values, error) {
	out := make(url.Values, len(templates))
	for name, list := range templates {
		for _, t := range list {
			v, err := t.Execute(values)
			if err != nil {
				return nil, err
			}
			out.Add(name, v)
		}
	}
	return out, nil
}

// authorize adds the secret where it travels in the header.
func (h *httpGateway) authorize(r *http.Request, key string) error {
	name, value := "Authorization", ""
	switch h.spec.Auth {
	case "basic":
		value = "Basic " + base64.StdEncoding.EncodeToString([]byte(h.spec.UserName+":"+key))
	case "bearer":
		value = "Bearer " + key
	case "header":
		name, value = h.spec.Header, key
	default:
		return nil
	}
	if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return refused("the secret has characters that a header field cannot have")
	}
	r.Header.Set(name, value)
	return nil
}

// idleTime is how long a connection is kept without use.
const idleTime = 30 * time.Second
