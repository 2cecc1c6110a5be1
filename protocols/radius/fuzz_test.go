package radius

import (
	"bytes"
	"testing"

	"trine/protocols/radius/wire"
)

// FuzzHandler gives the handler anything. It must never panic, and never answer what no secret of the client authenticates.
func FuzzHandler(f *testing.F) {
	r := newRig(f)
	for _, p := range [][]byte{
		r.request(wire.AccessRequest, pap("alice", "x")),
		r.request(wire.AccessRequest, func(b *wire.Builder) { b.MSCHAP2("alice", 1, [16]byte{}, [16]byte{}, [24]byte{}) }),
		r.request(wire.AccountingRequest, func(b *wire.Builder) { b.Accounting(1, "s"); b.Text(wire.UserName, "alice") }),
		r.request(wire.StatusServer, nil),
		r.request(wire.AccessRequest, func(b *wire.Builder) { b.Attr(wire.EAPMessage, []byte{2, 1, 0, 4}); b.Text(wire.ProxyState, "p") }),
	} {
		f.Add(p, false)
		f.Add(p, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, accounting bool) {
		r := newRig(t)
		r.lane.commit = true
		s := r.auth
		if accounting {
			s = r.acct
		}
		r.give(s, data)
		r.wake()
		if len(r.port.sent) > 0 {
			var v wire.View
			if fault := wire.Parse(data, &v); fault != wire.OK {
				t.Fatalf("answered a packet with fault %v", fault)
			}
			if fault := r.key.Verify(&v, v.Code() != wire.AccountingRequest); fault != wire.OK {
				t.Fatalf("answered a packet that is not authentic: %v", fault)
			}
		}
	})
}

// FuzzAuthenticContent signs whatever attributes the fuzzer thinks of, so that it gets past the door: the handler must never
// panic, and answer or count everything.
func FuzzAuthenticContent(f *testing.F) {
	for _, fill := range []func(*wire.Builder){
		pap("alice", "x"),
		func(b *wire.Builder) { b.MSCHAP2("alice", 1, [16]byte{}, [16]byte{}, [24]byte{}) },
		func(b *wire.Builder) { b.MSCHAP("alice", 1, [8]byte{}, [24]byte{}) },
		func(b *wire.Builder) {
			b.Accounting(1, "s")
			b.Attr(wire.FramedIPv6Prefix, []byte{0, 64})
			b.Attr(wire.Class, []byte("T123456789012"))
		},
		func(b *wire.Builder) { b.VSA(wire.VendorMicrosoft, wire.MSCHAPNTEncPW, make([]byte, 240)) },
	} {
		r := newRig(f)
		p := r.unsigned(wire.AccessRequest, fill)
		f.Add(p[20:], false)
		f.Add(p[20:], true)
	}
	f.Fuzz(func(t *testing.T, attributes []byte, accounting bool) {
		r := newRig(t)
		r.lane.commit = true
		code, s := wire.AccessRequest, r.auth
		if accounting {
			code, s = wire.AccountingRequest, r.acct
		}
		if len(attributes) > 4000 {
			return
		}
		r.nextID++
		r.builder.Request(make([]byte, 0, wire.MaxPacket), code, r.nextID, r.key)
		r.builder.Encoded(attributes)
		p, fault := r.builder.Finish()
		if fault != wire.OK {
			t.Fatal(fault)
		}
		r.give(s, p)
		r.wake()
		dropped := uint64(0)
		for i := range r.h.stats.dropped {
			dropped += r.h.stats.dropped[i].Load()
		}
		if uint64(len(r.port.sent))+dropped+uint64(r.h.delayed) != 1 {
			t.Fatalf("%d answers, %d drops, %d delayed", len(r.port.sent), dropped, r.h.delayed)
		}
		if len(r.port.sent) == 1 && !bytes.Equal(r.port.sent[0].data[1:2], p[1:2]) {
			t.Fatal("the answer has another identifier")
		}
	})
}
