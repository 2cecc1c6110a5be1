package radius

import (
	"bytes"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"trine/protocols/loop"
)

// TestDuplicatesBehaveLikeAMap drives the table against a plain model: within its bounds it knows what it was told, and
// nothing else.
func TestDuplicatesBehaveLikeAMap(t *testing.T) {
	const life, most = 100, 40
	type known struct {
		ref      ref
		auth     byte
		answered bool
		expires  int64
		reply    []byte
	}
	rapid.Check(t, func(t *rapid.T) {
		d := newDuplicates(life, most, 1<<20, rapid.Uint64().Draw(t, "seed"))
		model := make(map[dupKey]*known)
		order := []dupKey{} // of answers
		now := int64(0)
		socket := &loop.Socket{}
		drop := func(k dupKey) {
			delete(model, k)
			for i := range order {
				if order[i] == k {
					order = append(order[:i:i], order[i+1:]...)
					break
				}
			}
		}
		key := func(t *rapid.T) dupKey {
			n := rapid.IntRange(0, 60).Draw(t, "key")
			return keyOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{1, 2, 3, byte(n / 8)}), 5), uint8(n%8), socket)
		}
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				k := key(t)
				if model[k] != nil {
					return
				}
				full := len(model) == most
				auth := [16]byte{rapid.Byte().Draw(t, "authenticator")}
				r, ok := d.insert(k, &auth, socket, netip.AddrPort{})
				if full && len(order) == 0 {
					if ok {
						t.Fatal("inserted past the bound")
					}
					return
				}
				if !ok {
					t.Fatal("not inserted")
				}
				if full {
					drop(order[0])
				}
				model[k] = &known{ref: r, auth: auth[0]}
			},
			"answer": func(t *rapid.T) {
				k := key(t)
				m := model[k]
				if m == nil || m.answered {
					return
				}
				m.reply = rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "reply")
				d.keep(d.get(m.ref), m.reply)
				d.answered(m.ref, now)
				m.answered, m.expires = true, now+life
				order = append(order, k)
			},
			"forget": func(t *rapid.T) {
				k := key(t)
				if m := model[k]; m != nil {
					d.forget(m.ref)
					d.forget(m.ref)
					if d.get(m.ref) != nil {
						t.Fatal("a forgotten entry is still there")
					}
					drop(k)
				}
			},
			"supersede": func(t *rapid.T) {
				k := key(t)
				if e := d.find(k); e != nil {
					d.supersede(e)
					drop(k)
				}
			},
			"pass": func(t *rapid.T) {
				now += rapid.Int64Range(0, 60).Draw(t, "by")
				d.expire(now)
				for len(order) > 0 && model[order[0]].expires <= now {
					drop(order[0])
				}
			},
			"": func(t *rapid.T) {
				if d.count != len(model) {
					t.Fatalf("%d entries, want %d", d.count, len(model))
				}
				total := 0
				for i := range d.used {
					total += cap(d.at(uint32(i)).reply)
				}
				if total != d.bytes {
					t.Fatalf("%d bytes of buffers, counted %d", total, d.bytes)
				}
				for k, m := range model {
					e := d.find(k)
					if e == nil || e != d.get(m.ref) || e.authenticator[0] != m.auth || (e.state == entryAnswered) != m.answered {
						t.Fatalf("entry of %v is %+v, want %+v", k, e, m)
					}
					if m.answered && !bytes.Equal(e.reply, m.reply) {
						t.Fatal("another reply")
					}
				}
			},
		})
	})
}

func TestDuplicatesStayWithinTheirMemory(t *testing.T) {
	const limit = 64 << 10
	d := newDuplicates(1000, 1000, limit, 1)
	socket := &loop.Socket{}
	big := make([]byte, 4000)
	for i := range 500 {
		k := keyOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{1, 2, byte(i >> 8), byte(i)}), 5), 1, socket)
		r, ok := d.insert(k, &[16]byte{}, socket, netip.AddrPort{})
		if !ok {
			t.Fatal("not inserted")
		}
		d.keep(d.get(r), big)
		d.answered(r, int64(i))
		if d.bytes > limit {
			t.Fatalf("%d bytes of replies", d.bytes)
		}
		if d.get(r) == nil {
			t.Fatal("the newest answer was forgotten")
		}
	}
}
