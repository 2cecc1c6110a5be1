package wire

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestAWrongSecretIsToldFromAMalformedPacket obfuscates a packet of every kind under one secret and reads it under another,
// very often, and then breaks it in one place.
func TestAWrongSecretIsToldFromAMalformedPacket(t *testing.T) {
	right, wrong := secretOf(t, "right"), secretOf(t, "wrong")
	const rounds = 20000
	r := rand.New(rand.NewPCG(7, 7))
	for name, build := range messages() {
		var b Builder
		build(&b, buffer())
		clear, _ := b.Finish(nil)
		missed, read := 0, 0
		for range rounds {
			p := bytes.Clone(clear)
			for i := range 4 {
				p[4+i] = byte(r.Uint32())
			}
			h, _ := ParseHeader(p, MaxBody, 0)
			right.Obfuscate(p)
			wrong.Obfuscate(p)
			switch f := Check(&h, p[HeaderLen:], 0); {
			case f == OK:
				read++
			case !Diagnose(&h, p[HeaderLen:], f).WrongSecret:
				missed++
			}
		}
		// One field of 256 values, of which up to 8 are right, or of two: a continue's, and the statuses.
		limit := rounds / 1000
		switch name {
		case "continue", "response", "receipt", "error":
			limit = rounds / 20
		}
		if missed > limit || read > 0 {
			t.Errorf("%s: of %d under a wrong secret, %d were called malformed and %d were read", name, rounds, missed, read)
		}

		h, _ := ParseHeader(clear, MaxBody, 0)
		for _, body := range [][]byte{clear[HeaderLen : len(clear)-1], append(bytes.Clone(clear[HeaderLen:]), 'x'), clear[HeaderLen : HeaderLen+3]} {
			f := Check(&h, body, 0)
			if d := Diagnose(&h, body, f); f == OK || d.WrongSecret || d.Fault != f || d.Kind != h.Kind() || d.Length != len(body) {
				t.Errorf("%s of %d bytes: %v: %+v", name, len(body), f, d)
			}
		}
	}
}

func TestDiagnosisOfASingleField(t *testing.T) {
	for _, c := range []struct {
		name    string
		kind    Kind
		version Version
		body    []byte
		fault   Fault
		wrong   bool
	}{
		{"a removed type", KindAuthenStart, Version1, start(1, 1, 4, 1, "alice", "tty1", "", ""), AuthenTypeUnknown, false},
		{"noise of the right length", KindAuthenStart, Version0, start(99, 77, 55, 1, "al", "", "", ""), ActionUnknown, true},
		{"a status of tomorrow", KindAuthenReply, Version0, []byte{9, 0, 0, 0, 0, 0}, StatusUnknown, false},
		{"arguments in another order", KindAuthorRequest, Version0, request("cmd=show", "service=shell"), ServiceMissing, false},
		{"too long for any START", KindAuthenStart, Version0, bytes.Repeat([]byte{0xff}, 2000), LengthMismatch, false},
	} {
		h := header(c.kind, c.version)
		f := Check(&h, c.body, 0)
		d := Diagnose(&h, c.body, f)
		if f != c.fault || d.WrongSecret != c.wrong {
			t.Errorf("%s: %v: %+v", c.name, f, d)
		}
		words := d.String()
		if strings.Contains(words, "secret differs") != c.wrong || !strings.Contains(words, c.fault.Error()) || !strings.Contains(words, c.kind.String()) {
			t.Errorf("%s: %s", c.name, words)
		}
	}
	if s := (Diagnosis{}).String(); s != "ok" {
		t.Error(s)
	}
}

func TestOpenTriesEverySecret(t *testing.T) {
	old, fresh, third := secretOf(t, "old"), secretOf(t, "new"), secretOf(t, "third")
	for name, build := range messages() {
		var b Builder
		build(&b, buffer())
		clear, _ := b.Finish(nil)
		clear[3] = 0
		h, _ := ParseHeader(clear, MaxBody, 0)
		for at, s := range []*Secret{old, fresh, third} {
			p := bytes.Clone(clear)
			s.Obfuscate(p)
			if i, d := Open(&h, p, 0, []*Secret{old, fresh, third}); i != at || d.Fault != OK || !bytes.Equal(p, clear) {
				t.Errorf("%s under secret %d: %d, %v", name, at, i, d)
			}
		}

		broken := append(bytes.Clone(clear), 'x')
		p := bytes.Clone(broken)
		old.Obfuscate(p)
		if i, d := Open(&h, p, 0, []*Secret{old, fresh}); i != -1 || d.WrongSecret || d.Fault != LengthMismatch || !bytes.Equal(p, broken) {
			t.Errorf("%s, broken: %d, %v", name, i, d)
		}
	}
	var b Builder
	messages()["start"](&b, buffer())
	p, _ := b.Finish(third)
	h, _ := ParseHeader(p, MaxBody, 0)
	if i, d := Open(&h, p, 0, []*Secret{old, fresh}); i != -1 || !d.WrongSecret {
		t.Errorf("under a third secret: %d, %v", i, d)
	}
}
