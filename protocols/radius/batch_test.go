package radius

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"trine/engine"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/secret"
	"trine/engine/trace"
	"trine/protocols/loop"
	"trine/protocols/radius/wire"
)

// giveAll hands datagrams to the handler as one batch.
func (r *rig) giveAll(s *loop.Socket, packets ...[]byte) {
	var batch []loop.Datagram
	for _, p := range packets {
		batch = append(batch, loop.Datagram{From: r.from, Data: bytes.Clone(p)})
	}
	r.h.Packets(s, batch)
	r.h.EndBatch(true)
}

func TestTwoCopiesInABatchAreDecidedOnceAndAnsweredAlike(t *testing.T) {
	r := newRig(t)
	other := r.request(wire.AccessRequest, pap("bob", "x"))
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.giveAll(r.auth, other, p, p)
	if r.lane.requests != 2 || len(r.port.sent) != 3 || !bytes.Equal(r.port.sent[1].data, r.port.sent[2].data) {
		t.Fatalf("the engine was asked %d times; answers are %v", r.lane.requests, r.port.sent)
	}
	if r.h.stats.resent.Load() != 1 {
		t.Errorf("%d answers were given again", r.h.stats.resent.Load())
	}
	r.port.sent = r.port.sent[1:2]
	r.answer(p)
}

// TestOnlyAuthenticLoginsOfABatchAreExpected: strangers must not make the engine look anything up.
func TestOnlyAuthenticLoginsOfABatchAreExpected(t *testing.T) {
	r := newRig(t)
	r.lane.watch = true
	var packets [][]byte
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		packets = append(packets, r.request(wire.AccessRequest, pap(name, "x")))
	}
	r.giveAll(r.auth, packets[:3]...)
	if r.lane.expected != nil {
		t.Errorf("of three logins, %v are expected", r.lane.expected)
	}
	key := r.key
	r.key = mustKey(t, "stranger")
	stranger := r.request(wire.AccessRequest, pap("mallory", "x"))
	r.key = key
	packets = append(packets, stranger, r.request(wire.StatusServer, nil), []byte("nothing"))
	r.giveAll(r.auth, packets...)
	if got := strings.Join(r.lane.expected, " "); got != "alice bob carol dave" {
		t.Errorf("expected are %s", got)
	}
}

func TestNewerRequestInABatchSupersedesTheOlder(t *testing.T) {
	r := newRig(t)
	old := r.request(wire.AccessRequest, pap("alice", "x"))
	r.nextID--
	fresh := r.request(wire.AccessRequest, pap("bob", "x"))
	r.giveAll(r.auth, old, fresh, old, fresh)
	if r.lane.requests != 4 || len(r.port.sent) != 4 || r.h.duplicates.count != 1 {
		t.Fatalf("the engine was asked %d times; %d answers, %d kept", r.lane.requests, len(r.port.sent), r.h.duplicates.count)
	}
	r.port.sent = r.port.sent[:1]
	r.answer(old)
}

func TestEveryoneInABatchGetsTheirOwnAnswer(t *testing.T) {
	const changed = 1_800_000_100
	r := newRig(t, func(c *document.RadiusClient) {
		c.Secrets = []document.SharedSecret{{Value: secret.Plain("old"), NotAfter: time.Unix(changed, 0)}, {Value: secret.Plain("new")}}
	})
	seen := make(map[string]bool)
	r.lane.decide = func(q *engine.Request) bool {
		seen[string(q.Name)+" "+string(q.Proof.Password)] = true
		q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
		return true
	}
	var packets [][]byte
	keys := map[byte]*wire.Secret{}
	for i := range 60 {
		r.key = mustKey(t, []string{"old", "new", "stranger"}[i%3])
		p := r.request(wire.AccessRequest, pap(fmt.Sprint("user", i), strings.Repeat("p", i)))
		keys[p[1]] = r.key
		packets = append(packets, p)
	}
	r.giveAll(r.auth, packets...)
	if len(r.port.sent) != 40 || r.h.stats.dropped[wire.SignatureMismatch].Load() != 20 {
		t.Fatalf("%d answers, %d dropped", len(r.port.sent), r.h.stats.dropped[wire.SignatureMismatch].Load())
	}
	for _, s := range r.port.sent {
		var v, q wire.View
		wire.Parse(s.data, &v)
		wire.Parse(packets[v.ID()-1], &q)
		if fault := keys[v.ID()].VerifyReply(&v, q.ID(), q.Authenticator(), true); fault != wire.OK {
			t.Errorf("answer to %d: %v", v.ID(), fault)
		}
	}
	for i := range 60 {
		if i%3 < 2 && !seen[fmt.Sprint("user", i, " ", strings.Repeat("p", i))] {
			t.Errorf("the password of user %d was not seen", i)
		}
	}
}

// world is a rig that answers by the content of a request, so that two of them can be compared. Its table is small enough to be full
// now and then; its memory is not, since answers are weighed when they are signed, which in a batch is later.
func world(t *testing.T) *rig {
	r := newRig(t, func(c *document.RadiusClient) {
		c.Secrets = []document.SharedSecret{{Value: secret.Plain("testing123")}, {Value: secret.Plain("another")}}
		c.RequireMessageAuthenticator = false
	})
	r.h.entries, r.h.logins, r.h.records = 12, 16, 16
	r.h.duplicates = newDuplicates(int64(r.h.life), r.h.entries, r.h.bytes, 1)
	big := compile(t, strings.Repeat("Reply-Message += "+strings.Repeat("x", 253)+"\n", 12))
	r.lane.decide = func(q *engine.Request) bool {
		if q.Cache == nil || q.Client != r.client {
			t.Fatal("the request does not know its client")
		}
		q.Decision.Verdict, q.Decision.Reason, q.Decision.UserID = event.Accept, trace.OK, 7
		switch {
		case bytes.HasPrefix(q.Name, []byte("reject")):
			q.Decision.Verdict, q.Decision.Reason = event.Reject, trace.PasswordWrong
		case bytes.HasPrefix(q.Name, []byte("discard")):
			q.Decision.Verdict, q.Decision.Reason = event.Discard, trace.LogNoLeader
		case bytes.HasPrefix(q.Name, []byte("late")):
			return false
		case bytes.HasPrefix(q.Name, []byte("large")):
			q.Decision.Replies = []any{big}
		case bytes.HasPrefix(q.Name, []byte("huge")):
			q.Decision.Replies = []any{big, big}
		}
		return true
	}
	return r
}

// anyPacket draws what a device, or somebody else, may send.
func anyPacket(r *rig, draw *rand.Rand, n int) []byte {
	r.nextID = byte(n % 7)
	r.key = mustKey(r.t, []string{"testing123", "testing123", "another", "stranger"}[draw.IntN(4)])
	build := r.request
	if draw.IntN(5) == 0 {
		build = r.unsigned
	}
	name := []string{"alice", "alice", "reject", "discard", "late", "large", "huge"}[draw.IntN(7)]
	proxied := func(b *wire.Builder) {
		if draw.IntN(3) == 0 {
			b.Text(wire.ProxyState, "proxy")
		}
	}
	var p []byte
	switch draw.IntN(8) {
	case 0:
		p = build(wire.StatusServer, proxied)
	case 1:
		p = build(wire.AccountingRequest, func(b *wire.Builder) { b.Text(wire.UserName, name) })
	case 2, 3:
		p = build(wire.AccountingRequest, func(b *wire.Builder) { b.Accounting(1, "s"); proxied(b) })
	case 4:
		p = build(wire.AccessRequest, func(b *wire.Builder) { b.CHAP(name, 1, [16]byte{}, nil); proxied(b) })
	default:
		p = build(wire.AccessRequest, func(b *wire.Builder) { b.PAP(name, strings.Repeat("p", draw.IntN(40))); proxied(b) })
	}
	if draw.IntN(10) == 0 {
		p = p[:len(p)-1-draw.IntN(len(p)-1)]
	}
	return p
}

var logTime = regexp.MustCompile(`time=\S+`)

// state is everything that two worlds can differ in.
func (r *rig) state() string {
	var answers []string
	for _, s := range r.port.sent {
		answers = append(answers, fmt.Sprintf("%v %d %x", s.to, s.socket.Index, s.data))
	}
	slices.Sort(answers) // an answer given again leaves before those that wait for their signature
	stats := collect([]*counters{r.h.stats})
	return fmt.Sprintf("%s\n%+v\n%d logins, %d records, %d delayed, %d asked, refused %v, overruled %v, %d stored, %d kept\n%s",
		strings.Join(answers, "\n"), stats, r.h.loginCount, r.h.recordCount, r.h.delayed, r.lane.requests, r.lane.refused, r.lane.overrule,
		len(r.lane.accounts), r.h.duplicates.count, logTime.ReplaceAllString(r.logs.String(), ""))
}

// TestABatchIsHandledAsItsPacketsAlone compares a handler that gets its packets in batches with one that gets the same packets
// one by one.
func TestABatchIsHandledAsItsPacketsAlone(t *testing.T) {
	answered, full := 0, 0
	for round := range 150 {
		draw := rand.New(rand.NewPCG(11, uint64(round)))
		one, many := world(t), world(t)
		var late [2][]*engine.Request
		var stored [2]int
		for i, r := range []*rig{one, many} {
			decide := r.lane.decide
			r.lane.decide = func(q *engine.Request) bool {
				if !decide(q) {
					late[i] = append(late[i], q)
					return false
				}
				return true
			}
		}
		var old [][]byte
		for step := range 6 {
			s := [...]*loop.Socket{one.auth, one.acct}[draw.IntN(2)]
			var batch []loop.Datagram
			for n := range 1 + draw.IntN(loop.BatchSize+10) {
				from := one.from
				switch draw.IntN(10) {
				case 0:
					from = netip.MustParseAddrPort("198.51.100.1:1") // a stranger
				case 1, 2, 3, 4:
					from = netip.AddrPortFrom(from.Addr().Next(), uint16(draw.IntN(9)))
				}
				p := anyPacket(one, draw, n)
				if len(old) > 0 && draw.IntN(4) == 0 {
					p = old[draw.IntN(len(old))]
				}
				old = append(old, p)
				batch = append(batch, loop.Datagram{From: from, Data: p})
			}
			for i := range batch {
				one.h.Packets(s, []loop.Datagram{{From: batch[i].From, Data: bytes.Clone(batch[i].Data)}})
				one.h.dispatch()
			}
			one.h.EndBatch(true)
			data := make([]loop.Datagram, len(batch))
			for i := range batch {
				data[i] = loop.Datagram{From: batch[i].From, Data: bytes.Clone(batch[i].Data)}
			}
			many.h.Packets(s, data)
			many.h.EndBatch(true)
			if a, b := one.state(), many.state(); a != b {
				t.Fatalf("round %d, step %d, %d packets: alone\n%s\n\nin a batch\n%s", round, step, len(batch), a, b)
			}
			for i, r := range []*rig{one, many} {
				r.pass(time.Duration(step%3) * 700 * time.Millisecond)
				for _, q := range late[i] {
					q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
					q.Done.Decided(q)
				}
				late[i] = nil
				for n, a := range r.lane.accounts {
					a.Err = nil
					if n%3 == 2 {
						a.Err = errors.New("no leader")
					}
					a.Done.Accounted(a)
				}
				stored[i] += len(r.lane.accounts)
				r.lane.accounts = nil
				r.wake()
				if n := r.observed(); n != r.lane.requests+stored[i] {
					t.Fatalf("%d times were observed, of %d logins and %d records", n, r.lane.requests, stored[i])
				}
			}
			if a, b := one.state(), many.state(); a != b {
				t.Fatalf("round %d, step %d, late: alone\n%s\n\nin a batch\n%s", round, step, a, b)
			}
			answered += len(one.port.sent)
			full += int(one.h.stats.dropped[causeDuplicates].Load())
			one.port.sent, many.port.sent = nil, nil
		}
	}
	if answered < 1000 || full == 0 {
		t.Errorf("only %d answers were compared; the table was full %d times", answered, full)
	}
}

// observed returns how many times were counted in histograms.
func (r *rig) observed() (n int) {
	for _, l := range collect([]*counters{r.h.stats}).Latencies {
		for _, count := range l.Buckets {
			n += int(count)
		}
	}
	return n
}

// TestFullBatchesAllocateNothing counts batches of different people, and the answers that come with their commits.
func TestFullBatchesAllocateNothing(t *testing.T) {
	for _, method := range batchMethods {
		t.Run(method, func(t *testing.T) {
			r, s, batch := fullBatch(t, method)
			for range 3 {
				r.answerBatch(s, batch) // grow the pools
			}
			before := r.port.count
			if n := testing.AllocsPerRun(100, func() { r.answerBatch(s, batch) }); n != 0 {
				t.Errorf("%v allocations a batch", n)
			}
			if n := r.port.count - before; n != 101*len(batch) {
				t.Errorf("%d of %d packets were answered; log %s", n, 101*len(batch), r.logs)
			}
		})
	}
}
