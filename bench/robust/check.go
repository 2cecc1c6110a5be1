package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
	"layeh.com/radius"
)

const (
	// most is how many of the same kind are told.
	most = 5
	// decideWithin is how long a history is looked at.
	decideWithin = 30 * time.Second
	// slack is how long an answer that was under way when most nodes went down may take.
	slack = time.Second
)

// entry is one event of a node's log, as far as it is compared.
type entry struct {
	position string
	sum      [sha256.Size]byte
}

// book is what a node has in its log.
type book struct {
	node    *node
	entries []entry
	records map[record]int
	applied map[string]map[string]int // by document and description
}

type event struct {
	Position string
	At       time.Time
	Class    string
	Type     string
	Body     json.RawMessage
}

// read reads all of a node's log.
func (n *node) read(ctx context.Context) (*book, error) {
	b := &book{node: n, records: map[record]int{}, applied: map[string]map[string]int{}}
	for from := ""; ; {
		query := url.Values{"limit": {"1000"}}
		if from != "" {
			query.Set("from", from)
		}
		var page struct {
			Events []event
			Next   string
		}
		if err := n.get(ctx, "/api/v1/events?"+query.Encode(), &page); err != nil {
			return nil, err
		}
		for i := range page.Events {
			if page.Events[i].Position == from {
				continue
			}
			from = page.Events[i].Position
			if err := b.take(&page.Events[i]); err != nil {
				return nil, err
			}
		}
		if page.Next == "" {
			return b, nil
		}
	}
}

func (b *book) take(e *event) error {
	b.entries = append(b.entries, entry{e.Position, sha256.Sum256(fmt.Appendf(nil, "%d %s %s %s", e.At.UnixNano(), e.Class, e.Type, e.Body))})
	switch e.Type {
	case "Accounted":
		var r record
		if err := json.Unmarshal(e.Body, &r); err != nil {
			return fmt.Errorf("read the accounting record at %s of %s: %w", e.Position, b.node, err)
		}
		b.records[r]++
	case "DocumentPut":
		var d struct {
			Kind, Name string
			Spec       struct{ Description string }
		}
		if err := json.Unmarshal(e.Body, &d); err != nil {
			return fmt.Errorf("read the document at %s of %s: %w", e.Position, b.node, err)
		}
		if d.Kind == "Group" {
			if b.applied[d.Name] == nil {
				b.applied[d.Name] = map[string]int{}
			}
			b.applied[d.Name][d.Spec.Description]++
		}
	}
	return nil
}

// some joins the first of many findings.
func some(what string, list []string) error {
	if len(list) == 0 {
		return nil
	}
	sort.Strings(list)
	n := len(list)
	if n > most {
		list = append(list[:most:most], "...")
	}
	return fmt.Errorf("%s, %d times: %s", what, n, strings.Join(list, "; "))
}

// check holds what the nodes have against what was answered.
func (r *run) check(ctx context.Context) {
	t := r.traffic
	r.wrongs(some("traffic", slices.Clone(t.failures)))
	for _, n := range r.cluster.nodes {
		n.mu.Lock()
		r.wrongs(some("death", slices.Clone(n.deaths)))
		n.mu.Unlock()
	}
	r.checkLogins()
	r.checkDark()
	r.checkHistories()
	if err := r.cluster.converge(ctx, r.patience); err != nil {
		r.wrongs(err)
		return
	}
	var books []*book
	for _, n := range r.cluster.nodes {
		b, err := r.book(ctx, n)
		if err != nil {
			r.wrongs(err)
			continue
		}
		r.checkBook(b)
		books = append(books, b)
	}
	if len(books) > 1 {
		r.compare(books)
		r.wrongs(r.checkState(ctx))
	}
	r.summarize(books)
}

// book reads a node's log. One that was damaged, and says so only now, is replaced as an administrator would do.
func (r *run) book(ctx context.Context, n *node) (*book, error) {
	b, err := n.read(ctx)
	if err == nil || len(n.damaged) == 0 {
		return b, err
	}
	if len(r.cluster.nodes) < several {
		r.say("%s tells of %v when it is read (%v)", n, n.damaged, err)
		n.kill()
		if err := r.mended(ctx, step{}, err); err != nil {
			return nil, err
		}
		return n.read(ctx)
	}
	r.say("%s tells of %v when it is read (%v), and is replaced", n, n.damaged, err)
	n.brittle(true)
	if err := replaced(ctx, r, step{}, n); err != nil {
		return nil, err
	}
	n.brittle(false)
	return n.read(ctx)
}

// checkBook looks for every record that was acknowledged, and for what is there twice.
func (r *run) checkBook(b *book) {
	var lost, twice, missing, again []string
	for _, a := range r.traffic.acked {
		if b.records[a.record] == 0 {
			lost = append(lost, fmt.Sprintf("%+v, sent at %s, answered at %s", a.record, r.at(a.sent), r.at(a.answered)))
		}
	}
	for rec, n := range b.records {
		if n > 1 {
			twice = append(twice, fmt.Sprintf("%+v %d times", rec, n))
		}
	}
	for name, answers := range r.traffic.applied {
		for description, ended := range answers {
			switch n := b.applied[name][description]; {
			case n == 0 && ended == done:
				missing = append(missing, name+" "+description)
			case n > 0 && ended == refusal:
				again = append(again, fmt.Sprintf("%s %s was refused", name, description))
			case n > 1:
				again = append(again, fmt.Sprintf("%s %s %d times", name, description, n))
			}
		}
	}
	name := b.node.name
	r.wrongs(some("acknowledged and not on "+name, lost), some("recorded more than once on "+name, twice),
		some("applied and not on "+name, missing), some("applied and refused, or more than once, on "+name, again))
}

func (r *run) at(t time.Time) string { return fmt.Sprintf("%.3f", t.Sub(r.began).Seconds()) }

// compare looks for the first difference between the logs of the nodes, as far as all of them go.
func (r *run) compare(books []*book) {
	first := books[0]
	for _, b := range books[1:] {
		for i := range min(len(first.entries), len(b.entries)) {
			if first.entries[i] != b.entries[i] {
				r.wrongs(fmt.Errorf("the logs of %s and %s differ: event %d is at %s and %s", first.node, b.node, i, first.entries[i].position, b.entries[i].position))
				break
			}
		}
		shorter, longer := first, b
		if len(shorter.entries) > len(longer.entries) {
			shorter, longer = longer, shorter
		}
		// Records of the nodes' own go on being written while they are read, so the last of them may be on one alone. Records of clients do not.
		const own = 100
		if over := len(longer.entries) - len(shorter.entries); over > own {
			r.wrongs(fmt.Errorf("%s has %d events more than %s", longer.node, over, shorter.node))
		}
	}
}

// checkState compares what the nodes make of their logs: documents and sessions.
func (r *run) checkState(ctx context.Context) error {
	type view struct{ documents, sessions string }
	var first view
	for i, n := range r.cluster.nodes {
		var v view
		for path, into := range map[string]*string{"/api/v1/export": &v.documents, "/api/v1/sessions?limit=1000": &v.sessions} {
			a, err := n.call(ctx, "GET", path, "", nil)
			if err != nil {
				return fmt.Errorf("read %s of %s: %w", path, n, err)
			}
			if !a.ok() {
				return fmt.Errorf("read %s of %s: %d %s", path, n, a.status, a.body)
			}
			*into = string(a.body)
		}
		if i == 0 {
			first = v
			continue
		}
		if v.documents != first.documents {
			return fmt.Errorf("the documents of %s and %s differ", r.cluster.nodes[0], n)
		}
		if v.sessions != first.sessions {
			return fmt.Errorf("the sessions of %s and %s differ", r.cluster.nodes[0], n)
		}
	}
	return nil
}

// checkLogins demands that every login was accepted whose node ran undisturbed all the time until the device gave up.
func (r *run) checkLogins() {
	var silent, denied []string
	for n, list := range r.traffic.logins {
		for _, a := range list {
			text := fmt.Sprintf("%s at %s, from %s to %s", a.user, n, r.at(a.from), r.at(a.until))
			switch {
			case a.code == radius.CodeAccessAccept:
			case a.code != 0:
				denied = append(denied, fmt.Sprintf("%s: %v", text, a.code))
			case n.ran(a.from, a.until):
				silent = append(silent, text)
			}
		}
	}
	r.wrongs(some("a login had no answer", silent), some("a right password was refused", denied))
}

// checkDark demands that nothing was acknowledged that was first sent while most nodes were down.
func (r *run) checkDark() {
	var list []string
	for _, d := range r.dark {
		for _, a := range r.traffic.acked {
			if a.sent.After(d.from.Add(slack)) && a.answered.Before(d.until) {
				list = append(list, fmt.Sprintf("%+v at %s", a.record, r.at(a.answered)))
			}
		}
	}
	r.wrongs(some("acknowledged while most nodes were down", list))
}

// checkHistories looks for an order of the operations in which each is right.
func (r *run) checkHistories() {
	t := r.traffic
	for _, h := range []struct {
		name    string
		model   porcupine.Model
		history *history
		skip    bool
	}{
		{"codes", codes, &t.codes, false},
		{"names", names, &t.names, false},
		{"places", places, &t.places, r.placesEnd},
	} {
		if h.skip {
			r.say("%s are not looked at: a clock jumped so far that places ended", h.name)
			continue
		}
		list := h.history.porcupine()
		result, info := porcupine.CheckOperationsVerbose(h.model, list, decideWithin)
		if result == porcupine.Ok {
			continue
		}
		file := filepath.Join(r.folder, h.name+".html")
		err := fmt.Errorf("the history of %s is not linearizable; see %s", h.name, file)
		if result == porcupine.Unknown {
			err = fmt.Errorf("whether the history of %s is linearizable was not found out within %v; see %s", h.name, decideWithin, file)
		}
		r.wrongs(errors.Join(err, porcupine.VisualizePath(h.model, info, file)))
	}
}

// summarize says what the run did, and demands that it did something.
func (r *run) summarize(books []*book) {
	t := r.traffic
	logins := 0
	for _, list := range t.logins {
		for _, a := range list {
			if a.code == radius.CodeAccessAccept {
				logins++
			}
		}
	}
	applied := 0
	for _, answers := range t.applied {
		for _, ended := range answers {
			if ended == done {
				applied++
			}
		}
	}
	took := func(what string) func(o *operation) bool {
		return func(o *operation) bool { return o.what == what && o.ended == done }
	}
	counts := []struct {
		what string
		n    int
	}{
		{"faults", r.count},
		{"records", len(t.acked)},
		{"logins", logins},
		{"codes used", t.codes.count(took("offer"))},
		{"names made", t.names.count(took("create"))},
		{"guests let in", t.places.count(took("enter"))},
		{"documents applied", applied},
	}
	var parts, idle []string
	for _, c := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		if c.n == 0 {
			idle = append(idle, c.what)
		}
	}
	if len(books) > 0 {
		parts = append(parts, fmt.Sprintf("%d events", len(books[0].entries)))
	}
	r.summary = strings.Join(parts, ", ")
	if len(idle) > 0 {
		r.wrongs(fmt.Errorf("the run shows nothing, for it has no %s", strings.Join(idle, ", ")))
	}
}
