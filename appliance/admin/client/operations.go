package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"trine/appliance/admin/api"
)

// ImportOptions say how documents are taken in from a CSV file.
type ImportOptions struct {
	// DryRun checks the rows and changes nothing.
	DryRun bool
	// Preview asks what becomes of each row from this number on, of at most 1000; 0: of none.
	Preview int
	// SkipBadRows takes the good rows although others are refused.
	SkipBadRows bool
	// Existing says what to do with rows of documents that exist and that make no choice: refuse, update or keep.
	Existing string
	// Choices are made for rows: "3=skip".
	Choices []string
	// Columns say what columns of the file mean: "HEADER=COLUMN".
	Columns []string
	// Comma separates columns; empty: a comma.
	Comma string
	// Comment says why, for the history.
	Comment string
	// Name is the name of the file in messages.
	Name string
}

// Import uploads a CSV file of documents of a kind and returns the job that takes it in.
func (c *Client) Import(ctx context.Context, kind string, csv io.Reader, o ImportOptions) (*api.Job, error) {
	q := url.Values{}
	if o.DryRun {
		q.Set("dryRun", "true")
	}
	if o.SkipBadRows {
		q.Set("skipBadRows", "true")
	}
	setInt(q, "preview", o.Preview)
	set(q, "existing", o.Existing)
	set(q, "comma", o.Comma)
	set(q, "comment", o.Comment)
	set(q, "file", o.Name)
	for _, list := range []struct {
		name  string
		texts []string
	}{{"choice", o.Choices}, {"column", o.Columns}} {
		if len(list.texts) > 0 {
			q[list.name] = list.texts
		}
	}
	out := new(api.Job)
	if _, err := c.do(ctx, request{method: http.MethodPost, path: at("import", kind), query: q, body: csv, kind: "text/csv"}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// ExportCSV streams the documents of a kind as CSV. The caller closes the stream; an error of it says that it is not whole.
func (c *Client) ExportCSV(ctx context.Context, kind string) (io.ReadCloser, error) {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: at("export", kind), header: http.Header{"Accept": {"text/csv"}}})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// SetPassword sets a user's password.
func (c *Client) SetPassword(ctx context.Context, user, password string, mustChange bool) error {
	data, err := json.Marshal(api.PasswordRequest{Password: password, MustChange: mustChange})
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	_, err = c.do(ctx, request{method: http.MethodPost, path: at("users", user, "password"), body: bytes.NewReader(data), kind: "application/json"}, nil)
	return err
}

// LoginFailures returns what is remembered of failed logins under a name, and what it locks.
func (c *Client) LoginFailures(ctx context.Context, name string) (*api.LoginFailureList, error) {
	return get[api.LoginFailureList](ctx, c, at("users", name, "failures"), nil)
}

// Unlock forgets the failed logins under a name and lifts its locks.
func (c *Client) Unlock(ctx context.Context, name string) error {
	return c.remove(ctx, at("users", name, "failures"), nil)
}

// Jobs lists the jobs that the node remembers.
func (c *Client) Jobs(ctx context.Context) (*api.JobList, error) {
	return get[api.JobList](ctx, c, "/jobs", nil)
}

// Job returns one job.
func (c *Client) Job(ctx context.Context, id string) (*api.Job, error) {
	return get[api.Job](ctx, c, at("jobs", id), nil)
}

// CancelJob asks a job to stop.
func (c *Client) CancelJob(ctx context.Context, id string) error {
	return c.remove(ctx, at("jobs", id), nil)
}

// SessionQuery selects network sessions. Empty fields select all.
type SessionQuery struct {
	User, Client, NAS, Address, Calling, AcctSessionID, ID string
	After                                                  string
	Limit                                                  int
}

// Sessions returns a page of live network sessions.
func (c *Client) Sessions(ctx context.Context, s SessionQuery) (*api.SessionList, error) {
	q := url.Values{}
	set(q, "user", s.User)
	set(q, "client", s.Client)
	set(q, "nas", s.NAS)
	set(q, "address", s.Address)
	set(q, "calling", s.Calling)
	set(q, "acctSessionId", s.AcctSessionID)
	set(q, "id", s.ID)
	set(q, "after", s.After)
	setInt(q, "limit", s.Limit)
	return get[api.SessionList](ctx, c, "/sessions", q)
}

// EndSession ends a network session in the node's books. The device is not told.
func (c *Client) EndSession(ctx context.Context, id string) error {
	return c.remove(ctx, at("sessions", id), nil)
}

// EventQuery selects events. Empty fields select all.
type EventQuery struct {
	Classes []string
	Stream  string // namespace/name, such as user/alice
	Since   time.Time
	Until   time.Time
	From    string // position
	Reverse bool   // newest first
	Limit   int
}

func (e *EventQuery) values() url.Values {
	q := url.Values{}
	if len(e.Classes) > 0 {
		q["class"] = e.Classes
	}
	set(q, "stream", e.Stream)
	set(q, "from", e.From)
	if !e.Since.IsZero() {
		q.Set("since", e.Since.UTC().Format(time.RFC3339Nano))
	}
	if !e.Until.IsZero() {
		q.Set("until", e.Until.UTC().Format(time.RFC3339Nano))
	}
	if e.Reverse {
		q.Set("reverse", "true")
	}
	setInt(q, "limit", e.Limit)
	return q
}

// Events returns a page of events.
func (c *Client) Events(ctx context.Context, e EventQuery) (*api.EventList, error) {
	return get[api.EventList](ctx, c, "/events", e.values())
}

// Follow yields events as they come, those from the query's start first, until ctx is done or the node ends the stream.
func (c *Client) Follow(ctx context.Context, e EventQuery) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		resp, err := c.send(ctx, request{method: http.MethodGet, path: "/events/follow", query: e.values(), header: http.Header{"Accept": {"text/event-stream"}}})
		if err != nil {
			yield(api.Event{}, err)
			return
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(make([]byte, 64<<10), 4<<20)
		var name string
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ":")
			value = strings.TrimPrefix(value, " ")
			switch field {
			case "event":
				name = value
			case "data":
				ev, err := streamed(name, value)
				name = ""
				if !yield(ev, err) || err != nil {
					return
				}
			}
		}
		if ctx.Err() != nil {
			return
		}
		err = lines.Err()
		if err == nil {
			err = errors.New("the node ended the stream")
		}
		yield(api.Event{}, err)
	}
}

// streamed decodes the data of one server-sent event.
func streamed(name, data string) (api.Event, error) {
	if name == "failed" {
		var f api.StreamFailed
		if err := json.Unmarshal([]byte(data), &f); err != nil {
			return api.Event{}, fmt.Errorf("read the node's answer: %w", err)
		}
		return api.Event{}, &f.Problem
	}
	var ev api.Event
	if err := json.Unmarshal([]byte(data), &ev); err != nil {
		return api.Event{}, fmt.Errorf("read the node's answer: %w", err)
	}
	return ev, nil
}

// Explain says why a login was decided as it was.
func (c *Client) Explain(ctx context.Context, id string) (*api.Explanation, error) {
	return get[api.Explanation](ctx, c, at("explain", id), nil)
}

// Simulate says what a login would get.
func (c *Client) Simulate(ctx context.Context, q api.SimulationRequest) (*api.Simulation, error) {
	return post[api.Simulation](ctx, c, "/simulate", q)
}

// Status says how the node is.
func (c *Client) Status(ctx context.Context) (*api.Status, error) {
	return get[api.Status](ctx, c, "/status", nil)
}

// Version says what the node runs.
func (c *Client) Version(ctx context.Context) (*api.Version, error) {
	return get[api.Version](ctx, c, "/version", nil)
}

// Keys lists the API keys.
func (c *Client) Keys(ctx context.Context) (*api.KeyList, error) {
	return get[api.KeyList](ctx, c, "/apikeys", nil)
}

// CreateKey makes an API key. Its secret is in the answer and nowhere else.
func (c *Client) CreateKey(ctx context.Context, k api.KeyRequest) (*api.NewKey, error) {
	return post[api.NewKey](ctx, c, "/apikeys", k)
}

// RevokeKey ends an API key at once.
func (c *Client) RevokeKey(ctx context.Context, id string) error {
	return c.remove(ctx, at("apikeys", id), nil)
}

// TestDelivery sends a test message and says what became of it.
func (c *Client) TestDelivery(ctx context.Context, m api.TestMessage) (*api.Delivery, error) {
	return post[api.Delivery](ctx, c, "/delivery/test", m)
}
