package wire

import (
	"bytes"
	"strings"
	"testing"

	"trine/protocols/md5"
)

// again builds a packet from what was read, and returns its body.
func again(t *testing.T, b *Builder, body []byte, h Header) []byte {
	t.Helper()
	p, f := b.Finish(nil)
	if f != OK {
		t.Fatalf("%x was read and cannot be built: %v", body, f)
	}
	got, f := ParseHeader(p, MaxBody, 0)
	if h.Flags, h.Length = h.Flags|Unencrypted, uint32(len(p)-HeaderLen); f != OK || got != h {
		t.Fatalf("header %+v, %v, want %+v", got, f, h)
	}
	return p[HeaderLen:]
}

// same fails unless a body that was built again is the one that was read, but for bits that are ignored, which are masked at
// place masked.
func same(t *testing.T, got, body []byte, masked int, mask byte) {
	t.Helper()
	want := bytes.Clone(body)
	if masked >= 0 {
		want[masked] &= mask
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%x was read and is built as %x", want, got)
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add(packed(f, "c1 01 07 05 01020304 00000108"), uint32(65536), byte(0))
	f.Add(packed(f, "c1 02 01 ff 01020304 ffffffff 00"), uint32(1<<32-1), byte(4))
	f.Fuzz(func(t *testing.T, b []byte, limit uint32, q byte) {
		h, fault := ParseHeader(b, limit, Quirks(q))
		if fault != OK {
			return
		}
		if h.Length > limit {
			t.Fatalf("length %d above %d", h.Length, limit)
		}
		var out [HeaderLen]byte
		h.Put(out[:])
		same(t, out[:], b[:HeaderLen], 3, byte(knownFlags))
		_ = h.Kind().String()
	})
}

func FuzzParseAuthenStart(f *testing.F) {
	f.Add(start(1, 15, 2, 1, "alice", "tty1", "192.0.2.1", "wonderland"), byte(1), byte(0))
	f.Add(start(1, 15, 1, 2, "", "", "", "")[:8], byte(0), byte(1))
	f.Fuzz(func(t *testing.T, body []byte, minor, q byte) {
		h := header(KindAuthenStart, Version0|Version(minor&1))
		var s AuthenStart
		if ParseAuthenStart(&h, body, Quirks(q), &s) != OK {
			return
		}
		if _, challenge, response, f := s.Challenge(); f == OK && 1+len(challenge)+len(response) != len(s.Data) {
			t.Fatalf("%d bytes of data: %d and %d", len(s.Data), len(challenge), len(response))
		}
		var b Builder
		b.AuthenStart(buffer(), h, &s)
		out := again(t, &b, body, h)
		same(t, out, body[:min(len(out), len(body))], -1, 0)
	})
}

func FuzzParseAuthenContinue(f *testing.F) {
	f.Add(packed(f, "0006 0004 01 'secret' 'gone'"), byte(0))
	f.Fuzz(func(t *testing.T, body []byte, q byte) {
		var c AuthenContinue
		if ParseAuthenContinue(body, Quirks(q), &c) != OK {
			return
		}
		h := header(KindAuthenContinue, Version0)
		var b Builder
		b.AuthenContinue(buffer(), h, &c)
		out := again(t, &b, body, h)
		same(t, out, body[:len(out)], 4, continueAbort)
	})
}

// plain reports whether a message is sent as it is.
func plain(text []byte) bool {
	return !bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

func FuzzParseAuthenReply(f *testing.F) {
	f.Add(packed(f, "05 01 000a 0003 'Password:?' 010203"), byte(0))
	f.Fuzz(func(t *testing.T, body []byte, q byte) {
		var r AuthenReply
		if ParseAuthenReply(body, Quirks(q), &r) != OK || r.Status == AuthenFollow || !plain(r.ServerMsg) {
			return
		}
		h := header(KindAuthenReply, Version1)
		var b Builder
		b.AuthenReply(buffer(), h, r.Status, r.NoEcho)
		b.ServerMsg(string(r.ServerMsg))
		b.Data(string(r.Data))
		out := again(t, &b, body, h)
		same(t, out, body[:len(out)], 1, replyNoEcho)
	})
}

// whole reports whether all arguments have separators, without which none is built.
func whole(a Args) bool {
	for arg := range a.All() {
		if arg.Value == nil {
			return false
		}
	}
	return true
}

func FuzzParseAuthorRequest(f *testing.F) {
	f.Add(request("service=shell", "cmd=show", "cmd-arg*version"), byte(0))
	f.Add(request("service", "bare"), byte(3))
	f.Fuzz(func(t *testing.T, body []byte, q byte) {
		var r AuthorRequest
		if ParseAuthorRequest(body, Quirks(q), &r) != OK || !whole(r.Args) {
			return
		}
		h := header(KindAuthorRequest, Version0)
		var b Builder
		b.AuthorRequest(buffer(), h, &r)
		out := again(t, &b, body, h)
		same(t, out, body[:len(out)], -1, 0)
	})
}

func FuzzParseAuthorResponse(f *testing.F) {
	f.Add(packed(f, "01 02 0005 0003 0b 0b 'hello' 'log' 'priv-lvl=15' 'idletime*10'"), byte(0))
	f.Fuzz(func(t *testing.T, body []byte, q byte) {
		var r AuthorResponse
		if ParseAuthorResponse(body, Quirks(q), &r) != OK || r.Status == AuthorFollow || !plain(r.ServerMsg) || !plain(r.Data) || !whole(r.Args) {
			return
		}
		h := header(KindAuthorResponse, Version0)
		var b Builder
		b.AuthorResponse(buffer(), h, r.Status)
		b.ServerMsg(string(r.ServerMsg))
		b.Data(string(r.Data))
		for arg := range r.Args.All() {
			b.Pair(string(arg.Name), string(arg.Value), arg.Optional)
			arg.Uint32()
		}
		out := again(t, &b, body, h)
		same(t, out, body[:len(out)], -1, 0)
	})
}

func FuzzParseAcctRequest(f *testing.F) {
	f.Add(record(2, "task_id=7", "service=shell"), byte(0))
	f.Fuzz(func(t *testing.T, body []byte, q byte) {
		var r AcctRequest
		if ParseAcctRequest(body, Quirks(q), &r) != OK || !whole(r.Args) {
			return
		}
		h := header(KindAcctRequest, Version0)
		var b Builder
		b.AcctRequest(buffer(), h, &r)
		out := again(t, &b, body, h)
		same(t, out, body[:len(out)], 0, byte(knownAcctFlags))
	})
}

func FuzzParseAcctReply(f *testing.F) {
	f.Add(packed(f, "0002 0003 01 'ok' 'log'"), byte(0))
	f.Fuzz(func(t *testing.T, body []byte, q byte) {
		var r AcctReply
		if ParseAcctReply(body, Quirks(q), &r) != OK || r.Status == AcctFollow || !plain(r.ServerMsg) || !plain(r.Data) {
			return
		}
		h := header(KindAcctReply, Version0)
		var b Builder
		b.AcctReply(buffer(), h, r.Status)
		b.ServerMsg(string(r.ServerMsg))
		b.Data(string(r.Data))
		out := again(t, &b, body, h)
		same(t, out, body[:len(out)], -1, 0)
	})
}

// FuzzOpen reads whatever comes under two secrets.
func FuzzOpen(f *testing.F) {
	f.Add(append(packed(f, "c0 02 01 00 01020304 00000000"), request("service=ppp")...), "one", "two", byte(0))
	f.Fuzz(func(t *testing.T, packet []byte, one, two string, q byte) {
		h, fault := ParseHeader(packet, MaxBody, Quirks(q))
		if fault != OK || one == "" || two == "" {
			return
		}
		received := bytes.Clone(packet)
		secrets := []*Secret{secretOf(t, one), secretOf(t, two)}
		at, d := Open(&h, packet, Quirks(q), secrets)
		if (at < 0) != (d.Fault != OK) || d.String() == "" || d.Strange > d.Fields {
			t.Fatalf("%d, %+v", at, d)
		}
		if at >= 0 {
			if f := Check(&h, packet[HeaderLen:], Quirks(q)); f != OK {
				t.Fatalf("opened, and not read: %v", f)
			}
			secrets[at].Obfuscate(packet)
			if !bytes.Equal(packet, received) {
				t.Fatal("what was opened is not what came")
			}
		}
	})
}

// FuzzPads holds many packets side by side against one by one.
func FuzzPads(f *testing.F) {
	f.Add([]byte("some text of a body"), []byte{3, 0, 70, 64, 200, 255}, "testing123")
	f.Fuzz(func(t *testing.T, text, lengths []byte, secret string) {
		if secret == "" || len(text) == 0 {
			return
		}
		for _, kernel := range md5.Kernels() {
			pads := newPads(kernel.Lanes())
			var packets, wants [][]byte
			for i, n := range lengths[:min(len(lengths), MaxBatch)] {
				p := append(packed(t, "c0 01 01 00 01020304 00000000"), strings.Repeat(string(text), 1+int(n)/len(text))[:n]...)
				p[2] = byte(i)
				s := secretOf(t, secret[:1+i%len(secret)])
				want := bytes.Clone(p)
				s.Obfuscate(want)
				pads.Add(s, p)
				packets, wants = append(packets, p), append(wants, want)
			}
			pads.Run()
			for i := range packets {
				if !bytes.Equal(packets[i], wants[i]) {
					t.Fatalf("%v: packet %d: %x, want %x", kernel, i, packets[i], wants[i])
				}
			}
		}
	})
}
