package state

import (
	"bytes"
	"testing"
	"time"

	"trine/engine/event"
)

// FuzzRows feeds every row decoder with the same bytes: none may fail otherwise than by its error, and what a decoder reads must
// come out the same when it is written and read again.
func FuzzRows(f *testing.F) {
	doc := docRow{id: 1, version: 2, createdAt: 3, createdBy: 1, name: []byte("N"), refs: []byte{1, 2}, claims: []byte{0, 1, 'x'}, spec: []byte{0x72, 3, 0, 1, 'v'}, credential: []byte{8, 1}}
	f.Add(doc.append(nil))
	x := Session{Seen: 1, NAS: []byte("n"), User: []byte("u"), Login: 5, FramedIPv6Prefix: []byte{0, 64, 1}, ring: ring{1, 2, 3, 4}}
	f.Add(x.append(nil, 0))
	grave := tombstone{recorded: 1, cause: endedByStop}
	f.Add(grave.append(nil))
	place := reservation{user: []byte("u"), client: 1, notAfter: 9}
	f.Add(place.append(nil))
	head := stageHead{pieces: 1, end: 1, at: 2}
	f.Add(head.append(nil))
	failing := failures{known: true, all: tally{count: 1, window: 2}, n: 1}
	failing.sources[0] = sourceTally{source: 5, given: 1, last: 3, tally: tally{locks: 1, lock: Lock{1, 2}, calm: 9}}
	f.Add(failing.append(nil))
	s := New()
	s.symbol([]byte("text"))
	s.foldAPIKey(Stamp{Time: time.Unix(1, 0)}, &event.ApiKeyCreated{Id: "k", Hash: []byte("h"), Scopes: []string{"a"}})
	s.foldClusterKey(&event.ClusterKeyAdded{Id: 1, Wraps: []*event.ClusterKeyAdded_Wrap{{Node: 1, Wrapped: []byte("w")}}})
	s.foldFounded(Stamp{Time: time.Unix(1, 0)}, &event.ClusterFounded{Cluster: "c", Authority: []byte("a"), Key: []byte("k")})
	s.foldTokenMade(&event.JoinTokenMade{Id: "t", Hash: []byte("h"), Role: 1, ExpiresUnix: 9})
	s.foldJoined(Stamp{Time: time.Unix(1, 0)}, &event.NodeJoined{Node: 1, Name: "n", Address: "a:1", Role: 1, Public: []byte("p"), Serial: []byte("s"), ExpiresUnix: 9})
	for _, t := range []struct {
		rows interface {
			Get(dst, key []byte) ([]byte, bool)
		}
		key string
	}{{s.apiKeys, "k"}, {s.clusterKeys, "\x00\x00\x00\x01"}, {s.cluster, "authority"}, {s.cluster, "\x00\x00\x00\x00\x00\x00\x00\x01"}, {s.tokens, "t"}} {
		row, ok := t.rows.Get(nil, []byte(t.key))
		if !ok {
			f.Fatal("no seed row")
		}
		f.Add(row)
	}
	f.Fuzz(func(t *testing.T, row []byte) {
		var d, d2 docRow
		if d.decode(row) == nil {
			again := d.append(nil)
			if err := d2.decode(again); err != nil || !bytes.Equal(d2.append(nil), again) {
				t.Fatalf("document row %x becomes %x, %v", row, again, err)
			}
		}
		var u User
		if u.decode(row, []byte("key"), &s.symbols) == nil {
			_ = u.HasPassword()
			asked := NewSymbolTable(func([]byte) uint32 { return 1 })
			_, _ = u.attributes.read(nil, make([]Span, 1), 1, asked.Of(&s.symbols))
		}
		var a, b Session
		if a.decode(1, row, &s.symbols) == nil {
			again := a.append(nil, 0)
			if err := b.decode(1, again, &s.symbols); err != nil || !bytes.Equal(b.append(nil, 0), again) || a.hashes() != b.hashes() {
				t.Fatalf("session row %x becomes %x, %v", row, again, err)
			}
			if b.ring != a.ring || sessionRing(again) != a.ring {
				t.Fatal("keys are lost")
			}
			var k sessionKeys
			if k.decode(again) != nil || k.hashes() != a.hashes() {
				t.Fatalf("session row %x is found by %v", row, k.hashes())
			}
			if user, _, login := sessionOwner(again); !bytes.Equal(user, a.User) || login != a.Login {
				t.Fatalf("owner is %q, %d", user, login)
			}
			if seen, after, ok := figures(again); !ok || seen != a.Seen || after != a.StaleAfter {
				t.Fatal("figures differ")
			}
		}
		sessionRing(row)
		sessionOwner(row)
		var g, g2 tombstone
		if g.decode(row) == nil && (g2.decode(g.append(nil)) != nil || g != g2) {
			t.Fatal("tombstone differs")
		}
		if r, err := decodeReservation(row); err == nil {
			if r2, err := decodeReservation(r.append(nil)); err != nil || r2.notAfter != r.notAfter || !bytes.Equal(r.user, r2.user) {
				t.Fatal("reservation differs")
			}
		}
		var y, y2 failures
		if y.decode(row) == nil && (y2.decode(y.append(nil)) != nil || y != y2 || worthOf(y.append(nil)) != y.worth()) {
			t.Fatalf("failures %+v become %+v", y, y2)
		}
		var h, h2 stageHead
		if h.decode(row) == nil && (h2.decode(h.append(nil)) != nil || h != h2) {
			t.Fatal("stage differs")
		}
		_, _ = s.decodeAPIKey("k", row)
		_, _ = decodeClusterKey([]byte{0, 0, 0, 1}, row)
		_, _ = s.decodeAuthority(row)
		_, _ = s.decodeNode(1, row)
		_, _ = s.decodeToken("t", row)
		if p, ok := parsePrefix(row); ok {
			hashPrefix(p)
		}
		appendStation(nil, row)
		canonicalKey(row)
	})
}
