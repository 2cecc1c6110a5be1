package wire

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// packed reads hexadecimal digits and 'texts', with spaces between them.
func packed(t testing.TB, text string) (out []byte) {
	t.Helper()
	for _, word := range strings.Fields(text) {
		if s, ok := strings.CutPrefix(word, "'"); ok {
			out = append(out, strings.TrimSuffix(s, "'")...)
			continue
		}
		b, err := hex.DecodeString(word)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b...)
	}
	return out
}

func argsOf(texts ...string) (a Args) {
	for _, s := range texts {
		a.lengths = append(a.lengths, byte(len(s)))
		a.text = append(a.text, s...)
	}
	return a
}

func textsOf(a Args) (texts []string) {
	for raw := range a.Raw() {
		texts = append(texts, string(raw))
	}
	return texts
}

func header(kind Kind, version Version) Header {
	h := Header{Version: version, Seq: 1, Session: 0x01020304}
	switch kind {
	case KindAuthorRequest, KindAuthorResponse:
		h.Type = Authorization
	case KindAcctRequest, KindAcctReply:
		h.Type = Accounting
	default:
		h.Type = Authentication
	}
	switch kind {
	case KindAuthenReply, KindAuthorResponse, KindAcctReply:
		h.Seq = 2
	case KindAuthenContinue:
		h.Seq = 3
	}
	return h
}

// built finishes a packet in clear and returns its body.
func built(t testing.TB, b *Builder) []byte {
	t.Helper()
	p, f := b.Finish(nil)
	if f != OK {
		t.Fatalf("build: %v", f)
	}
	h, f := ParseHeader(p, MaxBody, 0)
	if f != OK || int(h.Length) != len(p)-HeaderLen || h.Flags != Unencrypted {
		t.Fatalf("header of what was built: %+v, %v", h, f)
	}
	return p[HeaderLen:]
}

func buffer() []byte { return make([]byte, 0, HeaderLen+MaxBody) }

func TestRFC8907_4_1_HeaderLayout(t *testing.T) {
	raw := packed(t, "c1 01 07 05 01020304 00000108")
	want := Header{Version: Version1, Type: Authentication, Seq: 7, Flags: Unencrypted | SingleConnect, Session: 0x01020304, Length: 264}
	got, f := ParseHeader(raw, 65536, 0)
	if f != OK || got != want {
		t.Errorf("parsed %+v, %v", got, f)
	}
	var out [HeaderLen]byte
	got.Put(out[:])
	if !bytes.Equal(out[:], raw) {
		t.Errorf("written %x", out)
	}
}

func TestRFC8907_5_1_AuthenticationStartLayout(t *testing.T) {
	body := packed(t, "01 0f 02 01 05 04 09 0a 'alice' 'tty1' '192.0.2.1' 'wonderland'")
	want := AuthenStart{
		Action: Login, PrivLvl: 15, Type: TypePAP, Service: ServiceLogin,
		User: []byte("alice"), Port: []byte("tty1"), RemAddr: []byte("192.0.2.1"), Data: []byte("wonderland"),
	}
	h := header(KindAuthenStart, Version1)
	var got AuthenStart
	if f := ParseAuthenStart(&h, body, 0, &got); f != OK || !reflect.DeepEqual(got, want) {
		t.Errorf("parsed %+v, %v", got, f)
	}
	var b Builder
	b.AuthenStart(buffer(), h, &want)
	if out := built(t, &b); !bytes.Equal(out, body) {
		t.Errorf("built %x", out)
	}
}

func TestRFC8907_5_2_AuthenticationReplyLayout(t *testing.T) {
	body := packed(t, "05 01 000a 0003 'Password:?' 010203")
	want := AuthenReply{Status: AuthenGetPass, NoEcho: true, ServerMsg: []byte("Password:?"), Data: []byte{1, 2, 3}}
	var got AuthenReply
	if f := ParseAuthenReply(body, 0, &got); f != OK || !reflect.DeepEqual(got, want) {
		t.Errorf("parsed %+v, %v", got, f)
	}
	var b Builder
	b.AuthenReply(buffer(), header(KindAuthenReply, Version0), AuthenGetPass, true)
	b.ServerMsg("Password:?")
	b.Data("\x01\x02\x03")
	if out := built(t, &b); !bytes.Equal(out, body) {
		t.Errorf("built %x", out)
	}
}

func TestRFC8907_5_3_AuthenticationContinueLayout(t *testing.T) {
	body := packed(t, "0006 0004 01 'secret' 'gone'")
	want := AuthenContinue{Abort: true, UserMsg: []byte("secret"), Data: []byte("gone")}
	var got AuthenContinue
	if f := ParseAuthenContinue(body, 0, &got); f != OK || !reflect.DeepEqual(got, want) {
		t.Errorf("parsed %+v, %v", got, f)
	}
	var b Builder
	b.AuthenContinue(buffer(), header(KindAuthenContinue, Version0), &want)
	if out := built(t, &b); !bytes.Equal(out, body) {
		t.Errorf("built %x", out)
	}
}

func TestRFC8907_6_1_AuthorizationRequestLayout(t *testing.T) {
	body := packed(t, "06 01 01 01 05 04 07 03 0d 08 07 'alice' 'tty1' '2001::1' 'service=shell' 'cmd=show' 'cmd-arg'")
	want := AuthorRequest{
		Method: MethodTACACSPlus, PrivLvl: 1, Type: TypeASCII, Service: ServiceLogin,
		User: []byte("alice"), Port: []byte("tty1"), RemAddr: []byte("2001::1"),
		Args: argsOf("service=shell", "cmd=show", "cmd-arg"),
	}
	var got AuthorRequest
	if f := ParseAuthorRequest(body, BareArguments, &got); f != OK || !reflect.DeepEqual(got, want) {
		t.Errorf("parsed %+v, %v", got, f)
	}
	body = packed(t, "06 01 01 01 05 04 07 03 0d 08 09 'alice' 'tty1' '2001::1' 'service=shell' 'cmd=show' 'cmd-arg*x'")
	want.Args = argsOf("service=shell", "cmd=show")
	var b Builder
	b.AuthorRequest(buffer(), header(KindAuthorRequest, Version0), &want)
	b.Pair("cmd-arg", "x", true)
	if out := built(t, &b); !bytes.Equal(out, body) {
		t.Errorf("built %x", out)
	}
}

func TestRFC8907_6_2_AuthorizationResponseLayout(t *testing.T) {
	body := packed(t, "01 02 0005 0003 0b 0b 'hello' 'log' 'priv-lvl=15' 'idletime*10'")
	want := AuthorResponse{
		Status: AuthorPassAdd, ServerMsg: []byte("hello"), Data: []byte("log"),
		Args: argsOf("priv-lvl=15", "idletime*10"),
	}
	var got AuthorResponse
	if f := ParseAuthorResponse(body, 0, &got); f != OK || !reflect.DeepEqual(got, want) {
		t.Errorf("parsed %+v, %v", got, f)
	}
	var b Builder
	b.AuthorResponse(buffer(), header(KindAuthorResponse, Version0), AuthorPassAdd)
	b.ServerMsg("hel")
	b.ServerMsg("lo")
	b.Data("log")
	b.Arg([]byte("priv-lvl=15"))
	b.Pair("idletime", "10", true)
	if out := built(t, &b); !bytes.Equal(out, body) {
		t.Errorf("built %x", out)
	}
}

func TestRFC8907_7_1_AccountingRequestLayout(t *testing.T) {
	body := packed(t, "02 06 0f 01 01 05 04 00 02 09 0d 'alice' 'tty1' 'task_id=7' 'service=shell'")
	want := AcctRequest{AcctStart, AuthorRequest{
		Method: MethodTACACSPlus, PrivLvl: 15, Type: TypeASCII, Service: ServiceLogin,
		User: []byte("alice"), Port: []byte("tty1"), RemAddr: []byte{}, Args: argsOf("task_id=7", "service=shell"),
	}}
	var got AcctRequest
	if f := ParseAcctRequest(body, 0, &got); f != OK || !reflect.DeepEqual(got, want) {
		t.Errorf("parsed %+v, %v", got, f)
	}
	var b Builder
	b.AcctRequest(buffer(), header(KindAcctRequest, Version0), &want)
	if out := built(t, &b); !bytes.Equal(out, body) {
		t.Errorf("built %x", out)
	}
}

func TestRFC8907_7_2_AccountingReplyLayout(t *testing.T) {
	body := packed(t, "0002 0003 01 'ok' 'log'")
	want := AcctReply{Status: AcctSuccess, ServerMsg: []byte("ok"), Data: []byte("log")}
	var got AcctReply
	if f := ParseAcctReply(body, 0, &got); f != OK || !reflect.DeepEqual(got, want) {
		t.Errorf("parsed %+v, %v", got, f)
	}
	var b Builder
	b.AcctReply(buffer(), header(KindAcctReply, Version0), AcctSuccess)
	b.ServerMsg("ok")
	b.Data("log")
	if out := built(t, &b); !bytes.Equal(out, body) {
		t.Errorf("built %x", out)
	}
}

// TestEveryFieldFullFits builds the longest message of all, and finds its parts again.
func TestEveryFieldFullFits(t *testing.T) {
	var b Builder
	b.AuthorResponse(buffer(), header(KindAuthorResponse, Version0), AuthorPassRepl)
	long := strings.Repeat("m", maxText)
	b.ServerMsg(long)
	b.Data(long)
	arg := "a=" + strings.Repeat("v", maxField-2)
	for range maxArguments {
		b.Arg([]byte(arg))
	}
	body := built(t, &b)
	if len(body) != MaxBody {
		t.Fatalf("%d bytes, and MaxBody is %d", len(body), MaxBody)
	}
	var r AuthorResponse
	if f := ParseAuthorResponse(body, 0, &r); f != OK || string(r.ServerMsg) != long || string(r.Data) != long {
		t.Fatal(f)
	}
	if texts := textsOf(r.Args); len(texts) != maxArguments || slices.ContainsFunc(texts, func(s string) bool { return s != arg }) {
		t.Error("arguments differ")
	}
}
