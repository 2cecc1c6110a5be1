package wire

import (
	"bytes"
	"strings"
	"testing"
)

// start returns the body of a START.
func start(action, level, kind, service byte, user, port, remAddr, data string) []byte {
	b := []byte{action, level, kind, service, byte(len(user)), byte(len(port)), byte(len(remAddr)), byte(len(data))}
	return append(b, user+port+remAddr+data...)
}

// request returns the body of an authorization REQUEST with good fields.
func request(args ...string) []byte {
	b := []byte{6, 1, 1, 1, 5, 0, 0, byte(len(args))}
	for _, a := range args {
		b = append(b, byte(len(a)))
	}
	return append(b, "alice"+strings.Join(args, "")...)
}

func record(flags byte, args ...string) []byte { return append([]byte{flags}, request(args...)...) }

func check(t *testing.T, name string, got, want Fault) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", name, got, want)
	}
}

func parseStart(v Version, body []byte, q Quirks) Fault {
	h := header(KindAuthenStart, v)
	return Check(&h, body, q)
}

func parseRequestBody(body []byte, q Quirks) Fault {
	h := header(KindAuthorRequest, Version0)
	return Check(&h, body, q)
}

func parseRecord(body []byte, q Quirks) Fault {
	h := header(KindAcctRequest, Version0)
	return Check(&h, body, q)
}

func TestRFC8907_4_1_HeaderRanges(t *testing.T) {
	const limit = 100
	for _, c := range []struct {
		name, raw string
		quirks    Quirks
		want      Fault
	}{
		{"good", "c0 01 01 00 00000001 00000064", 0, OK},
		{"eleven bytes", "c0 01 01 00 00000001 000000", 0, HeaderShort},
		{"nothing", "", 0, HeaderShort},
		{"major version 11", "b0 01 01 00 00000001 00000010", 0, MajorVersion},
		{"HTTP", "'GET' 20 2f 20 'HTTP/1.1'", 0, MajorVersion},
		{"TLS hello", "16 03 01 00 00000001 00000010", 0, MajorVersion},
		{"minor version 2", "c2 01 01 00 00000001 00000010", 0, MinorVersion},
		{"minor version 15", "cf 01 01 00 00000001 00000010", MinorOne, MinorVersion},
		{"type 0", "c0 00 01 00 00000001 00000010", 0, TypeUnknown},
		{"type 4", "c0 04 01 00 00000001 00000010", 0, TypeUnknown},
		{"number 0", "c0 01 00 00 00000001 00000010", 0, SequenceZero},
		{"length above the limit", "c0 01 01 00 00000001 00000065", 0, BodyLong},
		{"length of 4 GiB", "c0 01 01 00 00000001 ffffffff", 0, BodyLong},
	} {
		_, f := ParseHeader(packed(t, c.raw), limit, c.quirks)
		check(t, c.name, f, c.want)
	}
}

func TestRFC8907_5_4_1_AuthorizationAndAccountingHaveMinorVersion0(t *testing.T) {
	for _, kind := range []string{"02", "03"} {
		raw := packed(t, "c1 "+kind+" 01 00 00000001 00000010")
		_, f := ParseHeader(raw, 100, 0)
		check(t, kind, f, MinorVersion)
		_, f = ParseHeader(raw, 100, MinorOne)
		check(t, kind+" from a device that does so", f, OK)
	}
}

func TestRFC8907_4_1_OtherFlagsAreIgnoredAndWrittenAsZeros(t *testing.T) {
	h, f := ParseHeader(packed(t, "c0 01 01 ff 00000001 00000010"), 100, 0)
	if f != OK || h.Flags != Unencrypted|SingleConnect {
		t.Errorf("flags %#x, %v", h.Flags, f)
	}
	var out [HeaderLen]byte
	h.Flags = 0xff
	h.Put(out[:])
	if out[3] != 0x05 {
		t.Errorf("written %#x", out[3])
	}
}

func TestRFC8907_4_1_UnusedFieldsAreAsIfNotPresent(t *testing.T) {
	h := header(KindAuthenStart, Version0)
	var s AuthenStart
	if f := ParseAuthenStart(&h, start(1, 0, 1, 1, "", "", "", ""), 0, &s); f != OK {
		t.Fatal(f)
	}
	if len(s.User)+len(s.Port)+len(s.RemAddr)+len(s.Data) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestRFC8907_4_1_SequenceNumbers(t *testing.T) {
	t.Run("a session begins with 1", func(t *testing.T) {
		for seq := range 256 {
			var s Sequence
			want := SequenceUnexpected
			if seq == 1 {
				want = OK
			}
			if f := s.FromClient(uint8(seq)); f != want {
				t.Errorf("%d: %v", seq, f)
			}
		}
	})
	t.Run("numbers alternate and grow by one to the end", func(t *testing.T) {
		var server, client Sequence
		for seq := 1; seq < 255; seq += 2 {
			n, f := client.ToServer()
			if f != OK || int(n) != seq || server.Final() {
				t.Fatalf("client sends %d, %v where %d is next", n, f, seq)
			}
			if f := server.FromClient(n); f != OK {
				t.Fatalf("server takes %d: %v", n, f)
			}
			if server.Final() != (seq == 253) {
				t.Errorf("after %d the answer is the last: %v", seq, server.Final())
			}
			n, f = server.ToClient()
			if f != OK || int(n) != seq+1 {
				t.Fatalf("server sends %d, %v", n, f)
			}
			if f := client.FromServer(n); f != OK {
				t.Fatalf("client takes %d: %v", n, f)
			}
		}
		if _, f := client.ToServer(); f != SequenceEnd {
			t.Errorf("client goes on past 254: %v", f)
		}
		if f := server.FromClient(255); f != SequenceEnd {
			t.Errorf("server takes 255: %v", f)
		}
		if f := server.FromClient(1); f != SequenceUnexpected {
			t.Errorf("a wrap: %v", f)
		}
	})
	t.Run("nothing else is taken", func(t *testing.T) {
		s := Sequence(6) // the server has answered with 6
		for seq := range 256 {
			if c := s; seq != 7 && c.FromClient(uint8(seq)) != SequenceUnexpected {
				t.Errorf("server takes %d after 6", seq)
			}
		}
		s = 5
		for seq := range 256 {
			if c := s; seq != 6 && c.FromServer(uint8(seq)) != SequenceUnexpected {
				t.Errorf("client takes %d after 5", seq)
			}
		}
		if f := s.FromClient(6); f != SequenceUnexpected {
			t.Errorf("server takes a client's 6: %v", f)
		}
		if s != 5 {
			t.Error("a fault has moved the session")
		}
		answered := Sequence(6)
		if _, f := answered.ToClient(); f != SequenceUnexpected {
			t.Errorf("a second answer: %v", f)
		}
		asked := Sequence(5)
		if _, f := asked.ToServer(); f != SequenceUnexpected {
			t.Errorf("a second packet of the client: %v", f)
		}
	})
}

func TestRFC8907_3_6_UnknownTypeIsAnsweredByItsHeader(t *testing.T) {
	raw := packed(t, "c0 09 03 04 0a0b0c0d 00000020")
	h, f := ParseHeader(raw, 100, 0)
	check(t, "header", f, TypeUnknown)
	p, f := Refusal(make([]byte, 0, HeaderLen), &h)
	if want := packed(t, "c0 09 04 04 0a0b0c0d 00000000"); f != OK || !bytes.Equal(p, want) {
		t.Errorf("%x, %v", p, f)
	}
	h.Seq = 255
	_, f = Refusal(buffer(), &h)
	check(t, "after 255", f, SequenceEnd)
	_, f = Refusal(make([]byte, 0, HeaderLen-1), &h)
	check(t, "no room", f, PacketFull)
}

func TestRFC8907_4_5_AndRFC9887_4_FlagUnencrypted(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags Flags
		tls   bool
		want  Fault
	}{
		{"obfuscated on TCP", SingleConnect, false, OK},
		{"in clear on TCP", Unencrypted, false, InClear},
		{"in clear within TLS", Unencrypted | SingleConnect, true, OK},
		{"without the flag within TLS", SingleConnect, true, Obfuscated},
	} {
		h := Header{Flags: c.flags}
		check(t, c.name, h.Check(c.tls), c.want)
	}
}

func TestRFC9887_4_WithoutASecretEveryPacketHasTheFlag(t *testing.T) {
	secret := secretOf(t, "testing123")
	for _, flags := range []Flags{0, Unencrypted, SingleConnect} {
		h := header(KindAcctReply, Version0)
		h.Flags = flags
		var b Builder
		b.AcctReply(buffer(), h, AcctSuccess)
		p, _ := b.Finish(nil)
		if Flags(p[3]) != flags|Unencrypted || !bytes.Equal(p[HeaderLen:], []byte{0, 0, 0, 0, 1}) {
			t.Errorf("in clear: %x", p)
		}
		b.AcctReply(buffer(), h, AcctSuccess)
		p, _ = b.Finish(secret)
		if Flags(p[3]) != flags&^Unencrypted || bytes.Equal(p[HeaderLen:], []byte{0, 0, 0, 0, 1}) {
			t.Errorf("obfuscated: %x", p)
		}
	}
}

// TestRFC8907_4_5_LengthsMustAddUp takes a byte off every message, and adds one.
func TestRFC8907_4_5_LengthsMustAddUp(t *testing.T) {
	for kind, body := range map[Kind][]byte{
		KindAuthenStart:    start(1, 1, 1, 1, "alice", "tty1", "::1", "x"),
		KindAuthenContinue: packed(t, "0003 0002 00 'abc' 'de'"),
		KindAuthenReply:    packed(t, "01 00 0003 0002 'abc' 'de'"),
		KindAuthorRequest:  request("service=ppp", "protocol=ip"),
		KindAuthorResponse: packed(t, "01 02 0001 0001 03 03 'm' 'd' 'a=b' 'c*d'"),
		KindAcctRequest:    record(2, "task_id=1"),
		KindAcctReply:      packed(t, "0003 0002 01 'abc' 'de'"),
	} {
		h := header(kind, Version0)
		check(t, kind.String(), Check(&h, body, 0), OK)
		for n := range body {
			if f := Check(&h, body[:n], LooseLength); f != LengthMismatch && f != BodyShort {
				t.Errorf("%v cut to %d bytes: %v", kind, n, f)
			}
		}
		longer := append(bytes.Clone(body), 0)
		check(t, kind.String()+" with a byte behind", Check(&h, longer, 0), LengthMismatch)
		check(t, kind.String()+" with a byte behind, from a device that does so", Check(&h, longer, LooseLength), OK)
	}
}

func TestRFC8907_5_1_StartRanges(t *testing.T) {
	for value := range 256 {
		b := byte(value)
		for _, c := range []struct {
			name string
			body []byte
			ok   bool
			want Fault
		}{
			{"action", start(b, 1, 2, 1, "alice", "", "", ""), b == 1 || b == 4, ActionUnknown},
			{"priv_lvl", start(1, b, 2, 1, "alice", "", "", ""), b <= 15, PrivLvlRange},
			{"authen_type", start(1, 1, b, 1, "alice", "", "", ""), b == 2 || b == 3 || b == 5 || b == 6, AuthenTypeUnknown},
			{"authen_service", start(1, 1, 2, b, "alice", "", "", ""), b <= 9 && b != 4, ServiceUnknown},
		} {
			want := c.want
			switch {
			case c.ok:
				want = OK
			case c.name == "action" && b == 2:
				want = CombinationInvalid // a known one, which PAP does not have
			case c.name == "authen_type" && b == 1:
				want = VersionMismatch
			}
			if f := parseStart(Version1, c.body, 0); f != want {
				t.Errorf("%s %d: %v, want %v", c.name, b, f, want)
			}
		}
	}
}

// TestRFC8907_5_4_1_Versions is table 1.
func TestRFC8907_5_4_1_Versions(t *testing.T) {
	const none = 0xff
	for _, c := range []struct {
		name  string
		kind  byte
		minor [3]byte // of LOGIN, CHPASS and SENDAUTH
	}{
		{"ASCII", 1, [3]byte{0, 0, none}},
		{"PAP", 2, [3]byte{1, none, 1}},
		{"CHAP", 3, [3]byte{1, none, 1}},
		{"MS-CHAP", 5, [3]byte{1, none, 1}},
		{"MS-CHAPv2", 6, [3]byte{1, none, 1}},
	} {
		for i, action := range []byte{1, 2, 4} {
			for minor := range byte(2) {
				want := OK
				switch {
				case c.minor[i] == none:
					want = CombinationInvalid
				case c.minor[i] != minor:
					want = VersionMismatch
				}
				if f := parseStart(Version0|Version(minor), start(action, 1, c.kind, 1, "alice", "", "", ""), 0); f != want {
					t.Errorf("%s, %v, minor version %d: %v, want %v", c.name, Action(action), minor, f, want)
				}
			}
		}
	}
}

func TestRFC8907_5_4_2_LoginsOfOneStartNeedAUser(t *testing.T) {
	for _, kind := range []byte{2, 3, 5, 6} {
		check(t, AuthenType(kind).String(), parseStart(Version1, start(1, 1, kind, 1, "", "", "", "x"), 0), UserMissing)
	}
	check(t, "ascii", parseStart(Version0, start(1, 1, 1, 1, "", "", "", ""), 0), OK)
}

func TestRFC8907_5_4_2_ChallengesHaveTheirLengths(t *testing.T) {
	for _, c := range []struct {
		name     string
		kind     AuthenType
		response int
		ok       func(challenge int) bool
	}{
		{"CHAP", TypeCHAP, 16, func(n int) bool { return n >= 8 }},
		{"MS-CHAP", TypeMSCHAP, 49, func(n int) bool { return n == 8 }},
		{"MS-CHAPv2", TypeMSCHAPv2, 49, func(n int) bool { return n == 16 }},
	} {
		for size := range 256 {
			s := AuthenStart{Type: c.kind, Data: bytes.Repeat([]byte{'c'}, size)}
			if size > c.response {
				s.Data[0] = 7
				copy(s.Data[size-c.response:], bytes.Repeat([]byte{'r'}, c.response))
			}
			id, challenge, response, f := s.Challenge()
			n := size - 1 - c.response
			if ok := n >= 0 && c.ok(n); ok != (f == OK) || !ok && f != ChallengeLength {
				t.Errorf("%s of %d bytes: %v", c.name, size, f)
			} else if ok && (id != 7 || len(challenge) != n || len(bytes.Trim(challenge, "c")) > 0 ||
				len(response) != c.response || len(bytes.Trim(response, "r")) > 0) {
				t.Errorf("%s of %d bytes: %d, %q, %q", c.name, size, id, challenge, response)
			}
		}
	}
	s := AuthenStart{Type: TypePAP, Data: make([]byte, 100)}
	_, _, _, f := s.Challenge()
	check(t, "PAP has none", f, CombinationInvalid)
}

func TestRFC8907_5_4_2_6_EnableIsALoginOfAnyType(t *testing.T) {
	for kind := range byte(7) {
		if kind == 4 {
			continue
		}
		for _, v := range []Version{Version0, Version1} {
			check(t, AuthenType(kind).String(), parseStart(v, start(1, 15, kind, 2, "", "tty1", "", ""), 0), OK)
			check(t, "change of password", parseStart(v, start(2, 15, kind, 2, "alice", "tty1", "", ""), 0), CombinationInvalid)
			check(t, "sendauth", parseStart(v, start(4, 15, kind, 2, "alice", "tty1", "", ""), 0), CombinationInvalid)
		}
	}
	check(t, "not set without enable", parseStart(Version0, start(1, 1, 0, 1, "alice", "", "", ""), 0), AuthenTypeUnknown)
}

func TestRFC8907_3_7_Texts(t *testing.T) {
	for _, c := range []struct {
		name                string
		user, port, remAddr string
		want                Fault
	}{
		{"all printable", "alice@example.com", "tty 0/1 ~", "2001:db8::1", OK},
		{"user beyond US-ASCII", "jürgen", "", "", OK},
		{"user not UTF-8", "j\xfcrgen", "", "", TextUnprintable},
		{"user with NUL", "alice\x00", "", "", TextUnprintable},
		{"user with DEL", "alice\x7f", "", "", TextUnprintable},
		{"port with a control character", "alice", "tty\x1b1", "", TextUnprintable},
		{"port beyond US-ASCII", "alice", "tty\x80", "", TextUnprintable},
		{"port with DEL", "alice", "tty\x7f", "", TextUnprintable},
		{"rem_addr with a line end", "alice", "", "::1\n", TextUnprintable},
		{"rem_addr with text after a space", "alice", "", "192.0.2.1 (console)", OK},
	} {
		check(t, c.name, parseStart(Version0, start(1, 1, 1, 1, c.user, c.port, c.remAddr, ""), 0), c.want)
		body := []byte{6, 1, 1, 1, byte(len(c.user)), byte(len(c.port)), byte(len(c.remAddr)), 1, 11}
		body = append(body, c.user+c.port+c.remAddr+"service=ppp"...)
		check(t, c.name+", authorization", parseRequestBody(body, 0), c.want)
		check(t, c.name+", accounting", parseRecord(append([]byte{2}, body...), 0), c.want)
	}
}

func TestRFC8907_3_7_MessagesAreSentAsPrintableASCII(t *testing.T) {
	var b Builder
	b.AuthorResponse(buffer(), header(KindAuthorResponse, Version0), AuthorFail)
	b.ServerMsg("grüße\r\nan\talle\x1b[0m\xff")
	b.Data("\x00ж")
	var r AuthorResponse
	if f := ParseAuthorResponse(built(t, &b), 0, &r); f != OK || string(r.ServerMsg) != "gr??e  an alle?[0m?" || string(r.Data) != "??" {
		t.Errorf("%q, %q, %v", r.ServerMsg, r.Data, f)
	}
}

func TestRFC8907_5_2_ReplyDataIsArbitraryBytes(t *testing.T) {
	var b Builder
	b.AuthenReply(buffer(), header(KindAuthenReply, Version1), AuthenPass, false)
	b.Data("\x00\xff\n")
	var r AuthenReply
	if f := ParseAuthenReply(built(t, &b), 0, &r); f != OK || string(r.Data) != "\x00\xff\n" {
		t.Errorf("%q, %v", r.Data, f)
	}
}

func TestRFC8907_5_3_WhatWasTypedIsPassedOn(t *testing.T) {
	var c AuthenContinue
	body := append([]byte{0, 4, 0, 0, 0}, "\xfc\x00\n "...)
	if f := ParseAuthenContinue(body, 0, &c); f != OK || string(c.UserMsg) != "\xfc\x00\n " || c.Abort {
		t.Errorf("%q, %v", c.UserMsg, f)
	}
}

func TestRFC8907_5_4_3_AbortIsOneBit(t *testing.T) {
	for flags := range 256 {
		var c AuthenContinue
		if f := ParseAuthenContinue([]byte{0, 0, 0, 0, byte(flags)}, 0, &c); f != OK || c.Abort != (flags&1 != 0) {
			t.Errorf("flags %#x: abort %v, %v", flags, c.Abort, f)
		}
	}
}

func TestRFC8907_5_2_NoEchoIsOneBit(t *testing.T) {
	for flags := range 256 {
		var r AuthenReply
		if f := ParseAuthenReply([]byte{5, byte(flags), 0, 0, 0, 0}, 0, &r); f != OK || r.NoEcho != (flags&1 != 0) {
			t.Errorf("flags %#x: no echo %v, %v", flags, r.NoEcho, f)
		}
	}
}

func TestRFC8907_StatusRanges(t *testing.T) {
	for value := range 256 {
		b := byte(value)
		for _, c := range []struct {
			kind Kind
			body []byte
			ok   bool
		}{
			{KindAuthenReply, []byte{b, 0, 0, 0, 0, 0}, b >= 1 && b <= 7 || b == 0x21},
			{KindAuthorResponse, []byte{b, 0, 0, 0, 0, 0}, b == 1 || b == 2 || b == 0x10 || b == 0x11 || b == 0x21},
			{KindAcctReply, []byte{0, 0, 0, 0, b}, b == 1 || b == 2 || b == 0x21},
		} {
			want := StatusUnknown
			if c.ok {
				want = OK
			}
			h := header(c.kind, Version0)
			check(t, c.kind.String(), Check(&h, c.body, 0), want)
		}
	}
}

func TestRFC8907_5_4_3_FollowIsNeverSent(t *testing.T) {
	var b Builder
	b.AuthenReply(buffer(), header(KindAuthenReply, Version0), AuthenFollow, false)
	check(t, "authentication", b.Err(), StatusUnknown)
	b.AuthorResponse(buffer(), header(KindAuthorResponse, Version0), AuthorFollow)
	check(t, "authorization", b.Err(), StatusUnknown)
	b.AcctReply(buffer(), header(KindAcctReply, Version0), AcctFollow)
	check(t, "accounting", b.Err(), StatusUnknown)
}

func TestRFC8907_6_1_RequestRanges(t *testing.T) {
	methods := "\x00\x01\x02\x03\x04\x05\x06\x08\x10\x11\x20"
	for value := range 256 {
		b := byte(value)
		for i, c := range []struct {
			ok   bool
			want Fault
		}{
			{strings.IndexByte(methods, b) >= 0, MethodUnknown},
			{b <= 15, PrivLvlRange},
			{b <= 6 && b != 4, AuthenTypeUnknown},
			{b <= 9 && b != 4, ServiceUnknown},
		} {
			body := request("service=ppp")
			body[i] = b
			want := c.want
			if c.ok {
				want = OK
			}
			check(t, "authorization", parseRequestBody(body, 0), want)
			check(t, "accounting", parseRecord(append([]byte{4}, body...), 0), want)
		}
	}
}

// TestRFC8907_7_2_AccountingFlags is table 2.
func TestRFC8907_7_2_AccountingFlags(t *testing.T) {
	for flags := range 256 {
		want := AcctFlagsInvalid
		switch flags & 0xe {
		case 2, 4, 8, 0xa:
			want = OK
		}
		var r AcctRequest
		if f := ParseAcctRequest(record(byte(flags), "task_id=1"), 0, &r); f != want || f == OK && int(r.Flags) != flags&0xe {
			t.Errorf("flags %#x: %v, %v", flags, r.Flags, f)
		}
	}
	var b Builder
	b.AcctRequest(buffer(), header(KindAcctRequest, Version0), &AcctRequest{Flags: AcctStart | AcctStop})
	check(t, "start and stop, built", b.Err(), AcctFlagsInvalid)
}

func TestKindOfEveryPacket(t *testing.T) {
	for kind := range KindAcctReply + 1 {
		h := header(kind, Version0)
		if h.Kind() != kind {
			t.Errorf("%v is taken for %v", kind, h.Kind())
		}
	}
}

func TestAnswerHasTheNearestVersion(t *testing.T) {
	for _, c := range []struct {
		version Version
		kind    Type
		want    Version
	}{
		{Version0, Authentication, Version0},
		{Version1, Authentication, Version1},
		{Version1 + 6, Authentication, Version1},
		{Version1, Authorization, Version0},
		{Version1, Accounting, Version0},
	} {
		h := Header{Version: c.version, Type: c.kind, Seq: 3, Flags: SingleConnect, Session: 9, Length: 77}
		if got := h.Answer(); got != (Header{Version: c.want, Type: c.kind, Seq: 4, Session: 9}) {
			t.Errorf("%+v is answered by %+v", h, got)
		}
	}
}
