package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"

	"trine/appliance/admin/api"
)

// File is a file of documents, in YAML or JSON.
type File struct {
	Name string // as it stands in messages
	Data []byte
}

// ApplyOptions rule an apply.
type ApplyOptions struct {
	// Fingerprint is that of the plan that was agreed to; empty: whatever the plan is by then.
	Fingerprint string
	// Comment says why, for the history.
	Comment string
}

// Kinds lists the kinds of documents.
func (c *Client) Kinds(ctx context.Context) (*api.KindList, error) {
	return get[api.KindList](ctx, c, "/kinds", nil)
}

// Page selects a part of a list of documents. The zero Page is the first one, as long as the node likes.
type Page struct {
	After  string // cursor: the Next of the page before
	Prefix string // of names
	Limit  int
}

// Documents returns a page of the documents of a kind, in the order of their names.
func (c *Client) Documents(ctx context.Context, kind string, p Page) (*api.DocumentList, error) {
	q := url.Values{}
	set(q, "after", p.After)
	set(q, "prefix", p.Prefix)
	setInt(q, "limit", p.Limit)
	return get[api.DocumentList](ctx, c, at("documents", kind), q)
}

// Document returns one document.
func (c *Client) Document(ctx context.Context, kind, name string) (*api.Document, error) {
	return get[api.Document](ctx, c, at("documents", kind, name), nil)
}

// PutDocument creates or replaces one document. Version 0 writes whatever is there; otherwise the version in force must be it.
func (c *Client) PutDocument(ctx context.Context, kind, name string, spec json.RawMessage, version uint64, comment string) (*api.Document, error) {
	data, err := json.Marshal(map[string]any{"spec": spec, "comment": comment})
	if err != nil {
		return nil, fmt.Errorf("encode document: %w", err)
	}
	out := new(api.Document)
	q := request{method: http.MethodPut, path: at("documents", kind, name), header: ifMatch(version), body: bytes.NewReader(data), kind: "application/json"}
	if _, err := c.do(ctx, q, out); err != nil {
		return nil, err
	}
	return out, nil
}

// DeleteDocument deletes one document. Version 0 deletes whatever is there; otherwise the version in force must be it.
func (c *Client) DeleteDocument(ctx context.Context, kind, name string, version uint64, comment string) error {
	q := url.Values{}
	set(q, "comment", comment)
	_, err := c.do(ctx, request{method: http.MethodDelete, path: at("documents", kind, name), query: q, header: ifMatch(version)}, nil)
	return err
}

// Plan says what an apply of the files would change.
func (c *Client) Plan(ctx context.Context, files []File) (*api.Plan, error) {
	return c.documents(ctx, "/plan", files, nil)
}

// Apply puts the documents of all files in force, all of them or none.
func (c *Client) Apply(ctx context.Context, files []File, o ApplyOptions) (*api.Plan, error) {
	q := url.Values{}
	set(q, "plan", o.Fingerprint)
	set(q, "comment", o.Comment)
	return c.documents(ctx, "/apply", files, q)
}

func (c *Client) documents(ctx context.Context, path string, files []File, query url.Values) (*api.Plan, error) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, f := range files {
		h := textproto.MIMEHeader{}
		h.Set("Content-Disposition", multipart.FileContentDisposition("documents", f.Name))
		h.Set("Content-Type", "application/yaml")
		part, err := w.CreatePart(h)
		if err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.Name, err)
		}
		if _, err := part.Write(f.Data); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack documents: %w", err)
	}
	out := new(api.Plan)
	if _, err := c.do(ctx, request{method: http.MethodPost, path: path, query: query, body: bytes.NewReader(body.Bytes()), kind: w.FormDataContentType()}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// History returns the revisions of a document, newest first, of a deleted one too. With specs, each carries the document.
func (c *Client) History(ctx context.Context, kind, name string, specs bool) (*api.History, error) {
	q := url.Values{"limit": {"1000"}} // as many as a node gives
	if specs {
		q.Set("specs", "true")
	}
	return get[api.History](ctx, c, at("documents", kind, name, "history"), q)
}

// Revert puts an earlier version of a document in force again, as a new version.
func (c *Client) Revert(ctx context.Context, kind, name string, version uint64, comment string) (*api.Plan, error) {
	return post[api.Plan](ctx, c, at("documents", kind, name, "revert"), api.RevertRequest{Version: version, Comment: comment})
}

// Export streams documents as YAML: those of the given kinds, or all. The caller closes the stream.
func (c *Client) Export(ctx context.Context, kinds []string) (io.ReadCloser, error) {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: "/export", query: url.Values{"kind": kinds}, header: http.Header{"Accept": {"application/yaml"}}})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func setInt(q url.Values, name string, value int) {
	if value != 0 {
		q.Set(name, strconv.Itoa(value))
	}
}

func ifMatch(version uint64) http.Header {
	if version == 0 {
		return nil
	}
	return http.Header{"If-Match": {`"` + strconv.FormatUint(version, 10) + `"`}}
}
