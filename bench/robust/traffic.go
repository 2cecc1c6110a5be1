package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
)

// What a device does that hears nothing.
const (
	loginTries = 5               // sendings of a login to one node
	loginEach  = 2 * time.Second // that it waits after each
	acctTries  = 2               // sendings of an accounting record to a node, before it turns to the next
	acctEach   = 400 * time.Millisecond
	onceWait   = 4 * time.Second // for the answer to a request that is sent once
	apiWait    = 8 * time.Second // for the answer of the API
)

// Who sends what.
const (
	accountants = 6
	people      = 20 // who log in with a password
	coders      = 4  // who log in with codes
	guests      = 60 // whose sessions are limited
	hosts       = 6  // that let guests in
	namers      = 3
	nameCount   = 6
	appliers    = 2
)

// sessionRecords is how many records a session has: fewer than those among which a node knows one again that comes late (docs/STATUS.md).
const sessionRecords = 5

// answeredRecord is an accounting record and when it was first sent and answered.
type answeredRecord struct {
	record
	sent, answered time.Time
}

// attempt is one login.
type attempt struct {
	user        string
	from, until time.Time
	code        radius.Code // 0: no answer
}

// traffic is what the cluster's clients do, and what they were answered.
type traffic struct {
	c       *cluster
	records int           // of a session
	ending  chan struct{} // closed when nothing new is to begin
	ctx     context.Context
	cancel  context.CancelFunc
	working sync.WaitGroup
	serial  atomic.Int64 // of sessions, in all runs of a device

	mu       sync.Mutex
	acked    []answeredRecord
	open     map[string]record // by device: sent and not yet answered
	logins   map[*node][]attempt
	failures []string
	applied  map[string]map[string]outcome // by document and description: what apply answered

	codes, names, places history
}

func newTraffic(ctx context.Context, c *cluster, records int) *traffic {
	t := &traffic{c: c, records: records, ending: make(chan struct{}), logins: map[*node][]attempt{}, open: map[string]record{}, applied: map[string]map[string]outcome{}}
	t.ctx, t.cancel = context.WithCancel(ctx)
	return t
}

// fail notes what went wrong with the traffic itself, or what no client should ever be told.
func (t *traffic) fail(format string, a ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, fmt.Sprintf(format, a...))
}

func (t *traffic) over() bool {
	select {
	case <-t.ending:
		return true
	case <-t.ctx.Done():
		return true
	default:
		return false
	}
}

// pause waits a little, and reports whether to go on.
func (t *traffic) pause(d time.Duration) bool {
	select {
	case <-t.ending:
		return false
	case <-t.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// start starts all clients. Each has random numbers of its own, by the seed.
func (t *traffic) start() error {
	number := uint64(0)
	client := func(name string, run func(d *device, r *rand.Rand)) error {
		d, err := newDevice(t.c.devices, name)
		if err != nil {
			return err
		}
		number++
		r := rand.New(rand.NewPCG(t.c.seed, 1000+number))
		t.working.Go(func() {
			defer d.close()
			run(d, r)
		})
		return nil
	}
	for i := range accountants {
		if err := client(fmt.Sprintf("nas-%d", i), t.account); err != nil {
			return err
		}
	}
	for _, n := range t.c.nodes {
		if err := client("login-"+n.name, func(d *device, r *rand.Rand) { t.login(n, d, r) }); err != nil {
			return err
		}
	}
	for i := range coders {
		// The two devices of a pair offer the same code at the same time.
		second, err := newDevice(t.c.devices, fmt.Sprintf("pair-%d", i))
		if err != nil {
			return err
		}
		run := func(d *device, r *rand.Rand) {
			defer second.close()
			t.code(i, [2]*device{d, second}, r)
		}
		if err := client(fmt.Sprintf("code-%d", i), run); err != nil {
			return err
		}
	}
	turnstile := &guestbook{}
	for i := range hosts {
		if err := client(fmt.Sprintf("host-%d", i), func(d *device, r *rand.Rand) { t.host(turnstile, d, r) }); err != nil {
			return err
		}
	}
	known := &register{versions: map[string]int64{}, unclear: map[int]int{}, turn: map[int]int{}}
	for i := range namers {
		if err := client("", func(_ *device, r *rand.Rand) { t.name(i, known, r) }); err != nil {
			return err
		}
	}
	for i := range appliers {
		if err := client("", func(_ *device, r *rand.Rand) { t.apply(i, r) }); err != nil {
			return err
		}
	}
	return nil
}

// end begins nothing new, and waits until what was begun is answered: a device asks for as long as it takes. What is not answered after a
// time in which every node ran is a failure.
func (t *traffic) end(within time.Duration) {
	close(t.ending)
	finished := make(chan struct{})
	go func() {
		t.working.Wait()
		close(finished)
	}()
	select {
	case <-finished:
	case <-time.After(within):
		t.mu.Lock()
		for device, r := range t.open {
			t.failures = append(t.failures, fmt.Sprintf("%s has no answer to %+v, %v after all was healed", device, r, within))
		}
		t.mu.Unlock()
		t.cancel()
		<-finished
	}
	t.cancel()
}

// any returns one of the nodes.
func (t *traffic) any(r *rand.Rand) *node { return t.c.nodes[r.IntN(len(t.c.nodes))] }

// send sends an accounting record until it is answered, to the next node where one is silent. It returns false if that never happened.
func (t *traffic) send(d *device, at int, rec record, user string, class []byte) bool {
	first := time.Now()
	t.mu.Lock()
	t.open[d.name] = rec
	t.mu.Unlock()
	for ; t.ctx.Err() == nil; at++ {
		n := t.c.nodes[at%len(t.c.nodes)]
		p, err := d.account(rec, user, class, time.Since(first))
		if err != nil {
			t.fail("%v", err)
			return false
		}
		response, err := d.exchange(p, n.accounting(), acctTries, acctEach)
		if err != nil {
			continue
		}
		if response.Code != radius.CodeAccountingResponse {
			t.fail("%s answered an accounting record with %v", n, response.Code)
			return false
		}
		t.mu.Lock()
		t.acked = append(t.acked, answeredRecord{rec, first, time.Now()})
		delete(t.open, d.name)
		t.mu.Unlock()
		return true
	}
	return false
}

// account runs sessions one after another: a start, interim records, a stop.
func (t *traffic) account(d *device, r *rand.Rand) {
	at := r.IntN(len(t.c.nodes))
	for !t.over() {
		session := fmt.Sprintf("%s-%d", d.name, t.serial.Add(1))
		user := fmt.Sprintf("person%d", r.IntN(people))
		for step := range t.records {
			status := "interim"
			switch step {
			case 0:
				status = "start"
			case t.records - 1:
				status = "stop"
			}
			if !t.send(d, at, record{session, status, uint32(step)}, user, nil) || !t.pause(time.Duration(r.IntN(8))*time.Millisecond) {
				break
			}
		}
		if r.IntN(20) == 0 {
			at = r.IntN(len(t.c.nodes))
		}
	}
}

// login lets people log in at one node.
func (t *traffic) login(n *node, d *device, r *rand.Rand) {
	for t.pause(time.Duration(10+r.IntN(20)) * time.Millisecond) {
		i := r.IntN(people)
		a := attempt{user: fmt.Sprintf("person%d", i), from: time.Now()}
		p, err := d.login(a.user, passwordOf(i))
		if err != nil {
			t.fail("%v", err)
			return
		}
		if response, err := d.exchange(p, n.authentication(), loginTries, loginEach); err == nil {
			a.code = response.Code
		}
		a.until = time.Now()
		t.mu.Lock()
		t.logins[n] = append(t.logins[n], a)
		t.mu.Unlock()
	}
}

func passwordOf(i int) string { return fmt.Sprintf("password-of-%d", i) }

// once sends a login once and says how it ended.
func (t *traffic) once(n *node, d *device, user, password string) (ended outcome, class []byte) {
	p, err := d.login(user, password)
	if err != nil {
		t.fail("%v", err)
		return refusal, nil
	}
	response, err := d.exchange(p, n.authentication(), 1, onceWait)
	switch {
	case err != nil:
		return unclear, nil
	case response.Code == radius.CodeAccessAccept:
		return done, rfc2865.Class_Get(response)
	case response.Code == radius.CodeAccessReject:
		return refusal, nil
	}
	t.fail("%s answered a login with %v", n, response.Code)
	return refusal, nil
}

// code offers codes of a one-time password device, each to two nodes at the same time.
func (t *traffic) code(i int, pair [2]*device, r *rand.Rand) {
	user := coderOf(i)
	last, next := int64(-1), int64(0)
	for t.pause(time.Duration(20+r.IntN(60)) * time.Millisecond) {
		var both sync.WaitGroup
		var ended [2]outcome
		at := [2]*node{t.any(r), t.any(r)}
		calm := t.c.calm()
		for side := range pair {
			both.Go(func() {
				o := operation{key: user, what: "offer", n: next, node: at[side].name, from: time.Now()}
				o.ended, _ = t.once(at[side], pair[side], user, passwordOf(i)+hotp(keyOf(i), uint64(next)))
				o.until, o.strict = time.Now(), calm && t.c.calmSince(o.from)
				ended[side] = o.ended
				t.codes.add(o)
			})
		}
		both.Wait()
		switch {
		case ended[0] == done || ended[1] == done:
			last, next = next, next+1
		case (ended[0] == unclear || ended[1] == unclear) && next < last+8:
			next++ // it may be used up; the node looks some codes ahead
		default:
			// If it was used up without an answer, only a later one helps.
			if next++; next > last+8 {
				next = last + 1
			}
		}
	}
}

// guestbook says which guest comes next: one whose place may be taken by a login without an answer is not asked again.
type guestbook struct {
	mu   sync.Mutex
	next int
}

func (g *guestbook) guest() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.next
}

func (g *guestbook) spoilt(guest int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next == guest && guest+1 < guests {
		g.next++
	}
}

// host lets guests in whose sessions are limited, and out again.
func (t *traffic) host(book *guestbook, d *device, r *rand.Rand) {
	for t.pause(time.Duration(10+r.IntN(50)) * time.Millisecond) {
		guest := book.guest()
		user, n := guestOf(guest), t.any(r)
		o := operation{key: user, what: "enter", node: n.name, from: time.Now()}
		calm := t.c.calm()
		var class []byte
		o.ended, class = t.once(n, d, user, passwordOf(guest))
		o.until, o.strict = time.Now(), calm && t.c.calmSince(o.from)
		t.places.add(o)
		if o.ended == unclear {
			book.spoilt(guest)
		}
		if o.ended != done {
			continue
		}
		time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond)
		session := fmt.Sprintf("%s-%d", d.name, t.serial.Add(1))
		at := r.IntN(len(t.c.nodes))
		if !t.send(d, at, record{session, "start", 0}, user, class) {
			return
		}
		o = operation{key: user, what: "leave", node: n.name, from: time.Now()}
		if !t.send(d, at, record{session, "stop", 1}, user, class) {
			o.ended = unclear
		}
		o.until = time.Now()
		t.places.add(o)
	}
}

// register is what the namers know of versions.
type register struct {
	mu       sync.Mutex
	versions map[string]int64
	unclear  map[int]int // changes without an answer, by name
	turn     map[int]int // how often a name was given up for a new one
}

// doubts is how many changes without an answer a name has before a new one takes its place: each of them may have taken effect at any time since, and
// they double the ways in which its history can be read.
const doubts = 3

// pick returns the name in one of the places.
func (g *register) pick(place int) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return fmt.Sprintf("name-%d-%d", place, g.turn[place])
}

// doubt notes a change without an answer.
func (g *register) doubt(place int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.unclear[place]++; g.unclear[place]%doubts == 0 {
		g.turn[place]++
	}
}

func (g *register) set(name string, version int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.versions[name] = version
}

func (g *register) of(name string) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.versions[name]
}

// name creates and deletes documents of a few names, at any node.
func (t *traffic) name(who int, known *register, r *rand.Rand) {
	for i := 0; t.pause(time.Duration(30+r.IntN(60)) * time.Millisecond); i++ {
		n := t.any(r)
		place := r.IntN(nameCount)
		o := operation{key: known.pick(place), node: n.name}
		path := "/api/v1/documents/Group/" + o.key
		if version := known.of(o.key); version != 0 && r.IntN(2) == 0 {
			o.what, o.n, o.from = "delete", version, time.Now()
			a, err := t.ask(n, http.MethodDelete, path, nil, "If-Match", fmt.Sprintf("%q", fmt.Sprint(version)))
			o.ended = t.ended(n, a, err)
			if o.ended != unclear {
				known.set(o.key, 0)
			}
		} else {
			body := fmt.Sprintf(`{"spec":{"description":"%d of %d"}}`, i, who)
			o.what, o.from = "create", time.Now()
			a, err := t.ask(n, http.MethodPut, path, []byte(body), "If-None-Match", "*")
			if o.ended = t.ended(n, a, err); o.ended == done {
				if _, err := fmt.Sscanf(a.header.Get("ETag"), `"%d"`, &o.gave); err != nil {
					o.ended, o.gave = unclear, 0
				}
				known.set(o.key, o.gave)
			}
		}
		o.until = time.Now()
		t.names.add(o)
		if o.ended == unclear {
			known.doubt(place)
		}
		if o.ended != done && known.of(o.key) == 0 {
			// What is there may be of a create that was not answered: ask, so that it can be deleted.
			if a, err := t.ask(t.any(r), http.MethodGet, path, nil); err == nil && a.ok() {
				var version int64
				if _, err := fmt.Sscanf(a.header.Get("ETag"), `"%d"`, &version); err == nil {
					known.set(o.key, version)
				}
			}
		}
	}
}

func (t *traffic) ask(n *node, method, path string, body []byte, header ...string) (*answer, error) {
	ctx, cancel := context.WithTimeout(t.ctx, apiWait)
	defer cancel()
	contentType := ""
	if body != nil {
		contentType = "application/json"
	}
	return n.call(ctx, method, path, contentType, body, header...)
}

// ended says what an answer of the API means for a change.
func (t *traffic) ended(n *node, a *answer, err error) outcome {
	switch {
	case err != nil:
		return unclear
	case a.ok():
		return done
	case a.status == http.StatusServiceUnavailable || a.status >= http.StatusInternalServerError:
		if reason := a.refusal(); reason == "log.no-leader" || reason == "log.busy" || reason == "log.disk-full" {
			return refusal
		} else if reason == "node.failed" {
			t.fail("%s calls it a defect of its own: %s", n, a.body)
		}
		return unclear
	case a.status == http.StatusConflict || a.status == http.StatusPreconditionFailed || a.status == http.StatusNotFound || a.status == http.StatusInsufficientStorage:
		return refusal
	}
	t.fail("%s answered a change with %d: %s", n, a.status, a.body)
	return unclear
}

// apply applies a document of its own again and again, each time with another description.
func (t *traffic) apply(who int, r *rand.Rand) {
	name := fmt.Sprintf("applied-%d", who)
	answers := map[string]outcome{}
	t.mu.Lock()
	t.applied[name] = answers
	t.mu.Unlock()
	for i := 0; t.pause(time.Duration(40+r.IntN(60)) * time.Millisecond); i++ {
		description := fmt.Sprint(i)
		body, err := json.Marshal(map[string]any{"spec": map[string]string{"description": description}})
		if err != nil {
			t.fail("%v", err)
			return
		}
		n := t.any(r)
		a, err := t.ask(n, http.MethodPut, "/api/v1/documents/Group/"+name, body)
		ended := t.ended(n, a, err)
		t.mu.Lock()
		answers[description] = ended
		t.mu.Unlock()
	}
}
