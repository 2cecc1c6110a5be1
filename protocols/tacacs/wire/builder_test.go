package wire

import (
	"bytes"
	"strings"
	"testing"
)

// TestAFullBufferIsAFaultAndNoTruncation builds every message into buffers of every size up to its own.
func TestAFullBufferIsAFaultAndNoTruncation(t *testing.T) {
	for name, build := range messages() {
		var b Builder
		build(&b, buffer())
		whole, f := b.Finish(nil)
		if f != OK {
			t.Fatalf("%s: %v", name, f)
		}
		for size := range len(whole) {
			area := bytes.Repeat([]byte{0xee}, len(whole))
			build(&b, area[:0:size])
			if p, f := b.Finish(nil); f != PacketFull || p != nil {
				t.Fatalf("%s in %d of %d bytes: %x, %v", name, size, len(whole), p, f)
			}
			if rest := area[size:]; bytes.Count(rest, []byte{0xee}) != len(rest) {
				t.Fatalf("%s in %d bytes is written past them", name, size)
			}
		}
		build(&b, make([]byte, 0, len(whole)))
		if p, f := b.Finish(nil); f != OK || !bytes.Equal(p, whole) {
			t.Errorf("%s in a buffer of its size: %x, %v", name, p, f)
		}
	}
}

// messages builds one of each kind.
func messages() map[string]func(*Builder, []byte) {
	args := argsOf("service=shell", "cmd=show")
	common := AuthorRequest{
		Method: MethodTACACSPlus, PrivLvl: 1, Type: TypeASCII, Service: ServiceLogin,
		User: []byte("alice"), Port: []byte("tty1"), RemAddr: []byte("192.0.2.1"), Args: args,
	}
	return map[string]func(*Builder, []byte){
		"start": func(b *Builder, buf []byte) {
			b.AuthenStart(buf, header(KindAuthenStart, Version1), &AuthenStart{
				Action: Login, PrivLvl: 1, Type: TypePAP, Service: ServiceLogin,
				User: []byte("alice"), Port: []byte("tty1"), RemAddr: []byte("192.0.2.1"), Data: []byte("wonderland"),
			})
		},
		"continue": func(b *Builder, buf []byte) {
			b.AuthenContinue(buf, header(KindAuthenContinue, Version0), &AuthenContinue{UserMsg: []byte("wonderland"), Data: []byte("x")})
		},
		"reply": func(b *Builder, buf []byte) {
			b.AuthenReply(buf, header(KindAuthenReply, Version0), AuthenGetPass, true)
			b.ServerMsg("Password: ")
			b.Data("data")
		},
		"request": func(b *Builder, buf []byte) {
			b.AuthorRequest(buf, header(KindAuthorRequest, Version0), &common)
			b.Arg([]byte("cmd-arg=version"))
		},
		"response": func(b *Builder, buf []byte) {
			b.AuthorResponse(buf, header(KindAuthorResponse, Version0), AuthorPassRepl)
			b.ServerMsg("welcome")
			b.Data("by policy")
			b.Args(args)
			b.Pair("priv-lvl", "15", false)
		},
		"record": func(b *Builder, buf []byte) {
			b.AcctRequest(buf, header(KindAcctRequest, Version0), &AcctRequest{AcctStop, common})
			b.Pair("elapsed_time", "12", false)
		},
		"receipt": func(b *Builder, buf []byte) {
			b.AcctReply(buf, header(KindAcctReply, Version0), AcctSuccess)
			b.ServerMsg("ok")
			b.Data("log")
		},
		"error": func(b *Builder, buf []byte) {
			b.ErrorReply(buf, header(KindAcctReply, Version0))
			b.ServerMsg("no leader")
		},
	}
}

func TestBuilderRefuses(t *testing.T) {
	response := func(b *Builder) {
		b.AuthorResponse(buffer(), header(KindAuthorResponse, Version0), AuthorPassAdd)
	}
	long := strings.Repeat("x", maxText)
	for _, c := range []struct {
		name  string
		build func(*Builder)
		want  Fault
	}{
		{"a packet that was not begun", func(*Builder) {}, Misused},
		{"a text of one that was not begun", func(b *Builder) { b.ServerMsg("x") }, Misused},
		{"a second Finish", func(b *Builder) { response(b); built(t, b); b.Arg([]byte("a=b")) }, Misused},
		{"a message behind data", func(b *Builder) { response(b); b.Data("x"); b.ServerMsg("x") }, Misused},
		{"data behind arguments", func(b *Builder) { response(b); b.Arg([]byte("a=b")); b.Data("x") }, Misused},
		{"arguments of a reply that has none", func(b *Builder) {
			b.AcctReply(buffer(), header(KindAcctReply, Version0), AcctSuccess)
			b.Arg([]byte("a=b"))
		}, Misused},
		{"a message in a START", func(b *Builder) { messages()["start"](b, buffer()); b.ServerMsg("x") }, Misused},
		{"a reply with a client's number", func(b *Builder) {
			b.AuthorResponse(buffer(), header(KindAuthorRequest, Version0), AuthorPassAdd)
		}, Misused},
		{"a reply of another type", func(b *Builder) {
			b.AuthorResponse(buffer(), header(KindAcctReply, Version0), AuthorPassAdd)
		}, Misused},
		{"a type that there is not", func(b *Builder) {
			b.AuthenReply(buffer(), Header{Version: Version0, Type: 9, Seq: 2}, AuthenPass, false)
		}, Misused},
		{"number 0", func(b *Builder) {
			b.AuthenReply(buffer(), Header{Version: Version0, Type: Authentication}, AuthenPass, false)
		}, SequenceZero},
		{"no version", func(b *Builder) {
			b.AuthenReply(buffer(), Header{Type: Authentication, Seq: 2}, AuthenPass, false)
		}, MajorVersion},
		{"minor version 2", func(b *Builder) {
			b.AuthenReply(buffer(), Header{Version: Version0 + 2, Type: Authentication, Seq: 2}, AuthenPass, false)
		}, MinorVersion},
		{"a response with minor version 1", func(b *Builder) {
			b.AuthorResponse(buffer(), header(KindAuthorResponse, Version1), AuthorPassAdd)
		}, MinorVersion},
		{"an unknown status", func(b *Builder) {
			b.AuthenReply(buffer(), header(KindAuthenReply, Version0), 8, false)
		}, StatusUnknown},
		{"a START out of range", func(b *Builder) {
			b.AuthenStart(buffer(), header(KindAuthenStart, Version0), &AuthenStart{Action: Login, PrivLvl: 16, Type: TypeASCII})
		}, PrivLvlRange},
		{"PAP with minor version 0", func(b *Builder) {
			b.AuthenStart(buffer(), header(KindAuthenStart, Version0), &AuthenStart{Action: Login, Type: TypePAP, User: []byte("a")})
		}, VersionMismatch},
		{"a port with a control character", func(b *Builder) {
			b.AuthenStart(buffer(), header(KindAuthenStart, Version0), &AuthenStart{Action: Login, Type: TypeASCII, Port: []byte{7}})
		}, TextUnprintable},
		{"a user of 256 bytes", func(b *Builder) {
			b.AuthenStart(buffer(), header(KindAuthenStart, Version0), &AuthenStart{
				Action: Login, Type: TypeASCII, User: bytes.Repeat([]byte{'u'}, 256),
			})
		}, FieldLong},
		{"a method out of range", func(b *Builder) {
			b.AuthorRequest(buffer(), header(KindAuthorRequest, Version0), &AuthorRequest{Method: 7})
		}, MethodUnknown},
		{"65536 typed bytes", func(b *Builder) {
			b.AuthenContinue(buffer(), header(KindAuthenContinue, Version0), &AuthenContinue{UserMsg: make([]byte, maxText+1)})
		}, FieldLong},
		{"65536 bytes of message", func(b *Builder) { response(b); b.ServerMsg(long); b.ServerMsg("x") }, FieldLong},
		{"65536 bytes of data", func(b *Builder) { response(b); b.Data(long + "x") }, FieldLong},
		{"256 bytes of an argument", func(b *Builder) { response(b); b.Arg([]byte("a=" + long[:254])) }, FieldLong},
		{"256 bytes of a pair", func(b *Builder) { response(b); b.Pair("a", long[:254], false) }, FieldLong},
		{"256 arguments", func(b *Builder) {
			response(b)
			for range 256 {
				b.Arg([]byte("a=b"))
			}
		}, ArgumentsMany},
		{"an argument without a separator", func(b *Builder) { response(b); b.Arg([]byte("ab")) }, SeparatorMissing},
		{"a pair without a name", func(b *Builder) { response(b); b.Pair("", "x", true) }, ArgumentEmpty},
		{"a pair with a line end", func(b *Builder) { response(b); b.Pair("a", "x\n", true) }, TextUnprintable},
	} {
		var b Builder
		c.build(&b)
		if p, f := b.Finish(nil); f != c.want || p != nil {
			t.Errorf("%s: %v, want %v", c.name, f, c.want)
		}
	}
}

func TestTheFirstFaultSticksUntilAPacketIsBegun(t *testing.T) {
	var b Builder
	b.AuthorResponse(buffer(), header(KindAuthorResponse, Version0), AuthorPassAdd)
	b.Arg([]byte("ab"))
	b.Pair("a=", "x", false)
	b.ServerMsg("x")
	check(t, "Err", b.Err(), SeparatorMissing)
	_, f := b.Finish(nil)
	check(t, "Finish", f, SeparatorMissing)
	b.AuthorResponse(buffer(), header(KindAuthorResponse, Version0), AuthorPassAdd)
	check(t, "the next", b.Err(), OK)
	if body := built(t, &b); !bytes.Equal(body, []byte{1, 0, 0, 0, 0, 0}) {
		t.Errorf("%x", body)
	}
}

func TestErrorReplyIsOfTheRequestsType(t *testing.T) {
	for kind, want := range map[Kind]string{
		KindAuthenReply:    "07 00 0002 0000 'no'",
		KindAuthorResponse: "11 00 0002 0000 'no'",
		KindAcctReply:      "0002 0000 02 'no'",
	} {
		var b Builder
		b.ErrorReply(buffer(), header(kind, Version0))
		b.ServerMsg("no")
		if body := built(t, &b); !bytes.Equal(body, packed(t, want)) {
			t.Errorf("%v: %x", kind, body)
		}
	}
}

func TestFaultsHaveNamesAndWords(t *testing.T) {
	seen := map[string]bool{}
	for f := range Fault(Faults) {
		if f.Name() == "" || f.Error() == "" || seen[f.Name()] {
			t.Errorf("fault %d: %q, %q", f, f.Name(), f.Error())
		}
		seen[f.Name()] = true
	}
	if OK.Err() != nil || HeaderShort.Err() != error(HeaderShort) {
		t.Error("Err")
	}
	if f := Fault(200); f.Name() != "fault_200" || f.Error() != "fault 200" {
		t.Errorf("%q", f.Name())
	}
}
