package tacacs

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trine/engine/event"
	"trine/engine/policy"
	"trine/protocols/stream"
	"trine/protocols/tacacs/wire"
)

// The tests of this file are listed in docs/rfc8907.md with the rules that they show. Their packets are written out byte by byte where the RFC gives the
// fields, and their obfuscation is made here, so that nothing of the codec stands on both sides.

// pad is the pseudo_pad of section 4.5.
func pad(header []byte, key string, length int) (pad []byte) {
	var last []byte
	for len(pad) < length {
		block := append(append([]byte{}, header[4:8]...), key...)
		block = append(append(block, header[0], header[2]), last...)
		sum := md5.Sum(block)
		last = sum[:]
		pad = append(pad, last...)
	}
	return pad[:length]
}

// veil puts the obfuscation on a packet, or takes it off.
func veil(packet []byte, key string) {
	body := packet[wire.HeaderLen:]
	for i, b := range pad(packet, key, len(body)) {
		body[i] ^= b
	}
}

// exchange is one packet of a device, from its version to the end of its body, and what the server answers: nothing where that is empty.
type exchange struct{ asks, answers string }

// flow goes through exchanges of a session. Their headers have the session 0x0a0b0c0d and no flags; kind, version and number are told from the first to the last.
func (r *rig) flow(t *testing.T, version byte, kind wire.Type, all []exchange) {
	t.Helper()
	d := r.dial("testing123")
	seq := byte(1)
	packet := func(body string) []byte {
		p := []byte{version, byte(kind), seq, 0, 0x0a, 0x0b, 0x0c, 0x0d, 0, 0, 0, 0}
		binary.BigEndian.PutUint32(p[8:], uint32(len(body)))
		return append(p, body...)
	}
	for i, x := range all {
		p := packet(x.asks)
		veil(p, "testing123")
		d.send(p)
		seq++
		if x.answers == "" {
			break
		}
		want := packet(x.answers)
		got := make([]byte, len(want))
		_ = d.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := io.ReadFull(d.conn, got); err != nil {
			t.Fatalf("exchange %d is answered with %x: %v", i+1, got[:n], err)
		}
		veil(got, "testing123")
		if !bytes.Equal(got, want) {
			t.Fatalf("exchange %d is answered\n%q, not\n%q", i+1, got, want)
		}
		seq++
	}
	d.ended()
}

// unhex is for what is better read as hexadecimal digits.
func unhex(digits string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		panic(err)
	}
	return string(b)
}

// TestRFC8907_4_5_PacketsAsTheyAreOnTheWire sends a PAP login whose bytes were made with another program (Python's hashlib).
func TestRFC8907_4_5_PacketsAsTheyAreOnTheWire(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.send([]byte(unhex("c10101000a0b0c0d00000024b582f6c7066bce7918a73aa2fd5e6e44ab028a7f477f5661a1a02fd06c5d02886d621b83")))
	want := []byte(unhex("c10102000a0b0c0d00000006485717d46277"))
	got := make([]byte, len(want))
	_ = d.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadFull(d.conn, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("answered %x, not %x: %v", got, want, err)
	}
	d.ended()
}

const (
	atTTY = "tty1192.0.2.9" // port and rem_addr
	keep  = "Keep out.\nReally.\n"
	plain = "\x00\x00\x00\x00\x00" // flags and lengths of a REPLY or RESPONSE with nothing in it
)

func TestRFC8907_5_4_2_1_ASCIILogin(t *testing.T) {
	r := newRig(t)
	r.flow(t, 0xc0, wire.Authentication, []exchange{
		{"\x01\x01\x01\x01\x00\x04\x09\x00" + atTTY, "\x04\x00\x00\x1c\x00\x00" + keep + "Username: "},
		{"\x00\x05\x00\x00\x00alice", "\x05\x01\x00\x0a\x00\x00Password: "},
		{"\x00\x0a\x00\x00\x00wonderland", "\x01" + plain},
	})
	t.Run("with the name in START", func(t *testing.T) {
		r.flow(t, 0xc0, wire.Authentication, []exchange{
			{"\x01\x01\x01\x01\x05\x04\x09\x00alice" + atTTY, "\x05\x01\x00\x1c\x00\x00" + keep + "Password: "},
			{"\x00\x0a\x00\x00\x00wonderland", "\x01" + plain},
		})
	})
	t.Run("data is ignored in START and CONTINUE", func(t *testing.T) {
		r.flow(t, 0xc0, wire.Authentication, []exchange{
			{"\x01\x01\x01\x01\x05\x04\x09\x05alice" + atTTY + "wrong", "\x05\x01\x00\x1c\x00\x00" + keep + "Password: "},
			{"\x00\x0a\x00\x05\x00wonderlandwrong", "\x01" + plain},
		})
		r.flow(t, 0xc0, wire.Authentication, []exchange{
			{"\x01\x01\x01\x01\x05\x04\x09\x0aalice" + atTTY + "wonderland", "\x05\x01\x00\x1c\x00\x00" + keep + "Password: "},
			{"\x00\x05\x00\x0a\x00wrongwonderland", "\x02" + plain},
		})
	})
}

// TestRFC8907_5_4_2_1_NamesAreAskedForThreeTimes gives no name.
func TestRFC8907_5_4_2_1_NamesAreAskedForThreeTimes(t *testing.T) {
	r := newRig(t)
	again := "\x04\x00\x00\x0a\x00\x00Username: "
	r.flow(t, 0xc0, wire.Authentication, []exchange{
		{"\x01\x01\x01\x01\x00\x04\x09\x00" + atTTY, "\x04\x00\x00\x1c\x00\x00" + keep + "Username: "},
		{"\x00\x00\x00\x00\x00", again},
		{"\x00\x00\x00\x00\x00", again},
		{"\x00\x00\x00\x00\x00", "\x02" + plain},
	})
	r.flow(t, 0xc0, wire.Authentication, []exchange{
		{"\x01\x01\x01\x01\x00\x04\x09\x00" + atTTY, "\x04\x00\x00\x1c\x00\x00" + keep + "Username: "},
		{"\x00\x00\x00\x00\x00", again},
		{"\x00\x00\x00\x00\x00", again},
		{"\x00\x05\x00\x00\x00alice", "\x05\x01\x00\x0a\x00\x00Password: "},
		{"\x00\x0a\x00\x00\x00wonderland", "\x01" + plain},
	})
}

func TestRFC8907_5_4_2_2_PAPLogin(t *testing.T) {
	r := newRig(t)
	r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x02\x01\x05\x04\x09\x0aalice" + atTTY + "wonderland", "\x01" + plain}})
	r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x02\x01\x05\x04\x09\x05alice" + atTTY + "wrong", "\x02" + plain}})
	t.Run("without a name", func(t *testing.T) {
		r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x02\x01\x00\x04\x09\x0a" + atTTY + "wonderland", "\x07" + plain}})
	})
	t.Run("without a password", func(t *testing.T) {
		r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x02\x01\x05\x04\x09\x00alice" + atTTY, "\x02" + plain}})
	})
}

// TestRFC8907_5_4_2_3_CHAPLogin has the PPP id 9, the challenge 0123456789abcdef and MD5 over id, password and challenge (RFC 1994).
func TestRFC8907_5_4_2_3_CHAPLogin(t *testing.T) {
	r := newRig(t)
	const challenge = "0123456789abcdef"
	response := unhex("4b6650b1ac945991b5628321188e09cf")
	r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x03\x01\x05\x04\x09\x21alice" + atTTY + "\x09" + challenge + response, "\x01" + plain}})
	t.Run("under another id", func(t *testing.T) {
		r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x03\x01\x05\x04\x09\x21alice" + atTTY + "\x08" + challenge + response, "\x02" + plain}})
	})
	t.Run("with a challenge of seven bytes", func(t *testing.T) { // the right response to it, which is refused as the RFC recommends
		sum := md5.Sum([]byte("\x09wonderland" + challenge[:7]))
		r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x03\x01\x05\x04\x09\x18alice" + atTTY + "\x09" + challenge[:7] + string(sum[:]), "\x02" + plain}})
		sum = md5.Sum([]byte("\x09wonderland" + challenge[:8]))
		r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x03\x01\x05\x04\x09\x19alice" + atTTY + "\x09" + challenge[:8] + string(sum[:]), "\x01" + plain}})
	})
}

// TestRFC8907_5_4_2_4_MSCHAPv1Login has the challenge, the password and the NT response of RFC 2433 appendix B.
func TestRFC8907_5_4_2_4_MSCHAPv1Login(t *testing.T) {
	r := newRig(t)
	r.house.Password("alice", "MyPw")
	challenge := unhex("10 2D B5 DF 08 5D 30 41")
	response := strings.Repeat("\x00", 24) + unhex("4E 9D 3C 8F 9C FD 38 5D 5B F4 D3 24 67 91 95 6C A4 C3 51 AB 40 9A 3D 61") + "\x01"
	r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x05\x01\x05\x04\x09\x3aalice" + atTTY + "\x07" + challenge + response, "\x01" + plain}})
	r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x05\x01\x03\x04\x09\x3abob" + atTTY + "\x07" + challenge + response, "\x02" + plain}})
	for _, length := range []int{0, 7, 9, 16} {
		t.Run(fmt.Sprintf("with a challenge of %d bytes", length), func(t *testing.T) {
			data := "\x07" + (challenge + challenge)[:length] + response
			r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x05\x01\x05\x04\x09" + string([]byte{byte(len(data))}) + "alice" + atTTY + data, "\x02" + plain}})
		})
	}
}

// TestRFC8907_5_4_2_5_MSCHAPv2Login has the challenges, the name, the password and the response of RFC 2759 section 9.2.
func TestRFC8907_5_4_2_5_MSCHAPv2Login(t *testing.T) {
	r := newRig(t)
	r.house.Put("{kind: User, name: User, spec: {roles: [{role: 1@core}]}}")
	r.house.Password("User", "clientPass")
	challenge := unhex("5B 5D 7C 7D 7B 3F 2F 3E 3C 2C 60 21 32 26 26 28")
	peer := unhex("21 40 23 24 25 5E 26 2A 28 29 5F 2B 3A 33 7C 7E")
	response := peer + strings.Repeat("\x00", 8) + unhex("82 30 9E CD 8D 70 8B 5E A0 8F AA 39 81 CD 83 54 42 33 11 4A 3D 85 D6 DF") + "\x00"
	r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x06\x01\x04\x04\x09\x42User" + atTTY + "\x07" + challenge + response, "\x01" + plain}})
	r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x06\x01\x03\x04\x09\x42bob" + atTTY + "\x07" + challenge + response, "\x02" + plain}})
	for _, length := range []int{0, 8, 15, 17} {
		t.Run(fmt.Sprintf("with a challenge of %d bytes", length), func(t *testing.T) {
			data := "\x07" + (challenge + challenge)[:length] + response
			r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x06\x01\x04\x04\x09" + string([]byte{byte(len(data))}) + "User" + atTTY + data, "\x02" + plain}})
		})
	}
}

// TestRFC8907_5_4_2_LoginsOfOneStartPassOrFail asks for types that are off, for whose flows RESTART is no answer.
func TestRFC8907_5_4_2_LoginsOfOneStartPassOrFail(t *testing.T) {
	r := newRig(t)
	for name, start := range proofs(t, "alice", "wonderland") {
		for _, on := range []bool{true, false} {
			r.house.Put(fmt.Sprintf(`{kind: IdentityProvider, name: local, spec: {type: local, publicID: "https://idp.example.com", profiles: {tacacs: {enabled: true, pap: %t, chap: %[1]t, mschapv1: %[1]t, mschapv2: %[1]t}}}}`, on))
			want := wire.AuthenFail
			if on {
				want = wire.AuthenPass
			}
			t.Run(fmt.Sprintf("%s, on: %t", name, on), func(t *testing.T) {
				d := r.dial("testing123")
				d.start(3, start)
				d.reply(3, want)
				d.ended()
			})
		}
	}
}

func TestRFC8907_5_4_2_6_Enable(t *testing.T) {
	r := newRig(t)
	r.flow(t, 0xc0, wire.Authentication, []exchange{
		{"\x01\x0f\x01\x02\x05\x04\x09\x00alice" + atTTY, "\x05\x01\x00\x1c\x00\x00" + keep + "Password: "},
		{"\x00\x0a\x00\x00\x00wonderland", "\x01" + plain},
	})
	t.Run("the level is that of the header", func(t *testing.T) {
		r.flow(t, 0xc0, wire.Authentication, []exchange{
			{"\x01\x0f\x01\x02\x03\x04\x09\x00bob" + atTTY, "\x05\x01\x00\x1c\x00\x00" + keep + "Password: "},
			{"\x00\x07\x00\x00\x00builder", "\x02" + plain},
		})
	})
	t.Run("its service means no other operation", func(t *testing.T) {
		r.flow(t, 0xc0, wire.Authentication, []exchange{{"\x02\x0f\x01\x02\x05\x04\x09\x00alice" + atTTY, "\x07" + plain}})
	})
}

// TestRFC8907_5_4_2_7_ChangeOfPassword asks for the old password by GETDATA and for the new one by GETPASS.
func TestRFC8907_5_4_2_7_ChangeOfPassword(t *testing.T) {
	r := newRig(t)
	r.flow(t, 0xc0, wire.Authentication, []exchange{
		{"\x02\x01\x01\x01\x03\x04\x09\x00bob" + atTTY, "\x03\x01\x00\x20\x00\x00" + keep + "Old password: "},
		{"\x00\x07\x00\x00\x00builder", "\x05\x01\x00\x0e\x00\x00New password: "},
		{"\x00\x07\x00\x00\x00soldier", "\x05\x01\x00\x14\x00\x00New password again: "},
		{"\x00\x07\x00\x00\x00soldier", "\x01" + plain},
	})
	if !r.logsIn("bob", "soldier") {
		t.Error("the password is not changed")
	}
	r.flow(t, 0xc0, wire.Authentication, []exchange{ // a name that is not in START is asked for by GETUSER all the same
		{"\x02\x01\x01\x01\x00\x04\x09\x00" + atTTY, "\x04\x00\x00\x1c\x00\x00" + keep + "Username: "},
		{"\x00\x03\x00\x00\x00bob", "\x03\x01\x00\x0e\x00\x00Old password: "},
		{"\x00\x00\x00\x04\x01gone", ""},
	})
}

// TestRFC8907_5_4_2_WhatIsNotImplementedFails asks for SENDAUTH, which section 10.5.3 would have nobody implement.
func TestRFC8907_5_4_2_WhatIsNotImplementedFails(t *testing.T) {
	r := newRig(t)
	for kind := range "\x02\x03\x05\x06" {
		r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x04\x01" + "\x02\x03\x05\x06"[kind:kind+1] + "\x03\x05\x04\x09\x00alice" + atTTY, "\x02" + plain}})
	}
}

// TestRFC8907_5_4_3_Abort says why it gives up, in CONTINUE packets to every question that there is.
func TestRFC8907_5_4_3_Abort(t *testing.T) {
	r := newRig(t)
	r.flow(t, 0xc0, wire.Authentication, []exchange{
		{"\x01\x01\x01\x01\x00\x04\x09\x00" + atTTY, "\x04\x00\x00\x1c\x00\x00" + keep + "Username: "},
		{"\x00\x00\x00\x04\x01gone", ""},
	})
	r.flow(t, 0xc0, wire.Authentication, []exchange{
		{"\x01\x01\x01\x01\x05\x04\x09\x00alice" + atTTY, "\x05\x01\x00\x1c\x00\x00" + keep + "Password: "},
		{"\x00\x0a\x00\x00\x01wonderland", ""}, // it gives up, though the password is right
	})
	if n := r.dropped("aborted"); n != 2 {
		t.Errorf("%d aborts are counted", n)
	}
}

// TestRFC8907_5_4_QuestionsHaveATextAndHideSecrets goes through every question of a login and of a change.
func TestRFC8907_5_4_QuestionsHaveATextAndHideSecrets(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.start(1, wire.AuthenStart{Action: wire.ChangePassword, Type: wire.TypeASCII})
	for i, q := range []struct {
		status wire.AuthenStatus
		said   string
	}{{wire.AuthenGetUser, "bob"}, {wire.AuthenGetData, "builder"}, {wire.AuthenGetPass, "soldier"}, {wire.AuthenGetPass, "soldier"}} {
		a := d.reply(1, q.status)
		if len(a.ServerMsg) == 0 || a.NoEcho != (q.status != wire.AuthenGetUser) {
			t.Errorf("question %d is %q, not shown: %t", i+1, a.ServerMsg, a.NoEcho)
		}
		d.say(1, uint8(3+2*i), q.said)
	}
	d.reply(1, wire.AuthenPass)
}

func TestRFC8907_6_Authorization(t *testing.T) {
	r := newRig(t)
	const bob = "\x03\x04\x09" // the lengths of bob, tty1 and 192.0.2.9
	for name, x := range map[string]exchange{
		"a shell": {
			"\x06\x01\x01\x01" + bob + "\x02" + "\x0d\x04" + "bob" + atTTY + "service=shell" + "cmd=",
			"\x01\x03\x00\x00\x00\x00" + "\x0a\x0c\x0a" + "idletime=5" + "autocmd*menu" + "priv-lvl=1",
		},
		"a shell whose arguments are replaced": {
			"\x06\x01\x01\x01" + bob + "\x03" + "\x0d\x04\x0a" + "bob" + atTTY + "service=shell" + "cmd=" + "idletime*9",
			"\x02\x05\x00\x00\x00\x00" + "\x0d\x04\x0a\x0c\x0a" + "service=shell" + "cmd=" + "idletime=5" + "autocmd*menu" + "priv-lvl=1",
		},
		"a command": {
			"\x06\x01\x01\x01" + bob + "\x04" + "\x0d\x08\x0f\x0c" + "bob" + atTTY + "service=shell" + "cmd=show" + "cmd-arg=version" + "cmd-arg=<cr>",
			"\x01\x00\x00\x00\x00\x00",
		},
		"a command that is denied": {
			"\x06\x01\x01\x01" + bob + "\x03" + "\x0d\x0a\x0c" + "bob" + atTTY + "service=shell" + "cmd=reload" + "cmd-arg=<cr>",
			"\x10\x00\x00\x00\x00\x00",
		},
		"a mandatory argument that nothing handles": {
			"\x06\x01\x01\x01" + bob + "\x03" + "\x0d\x04\x09" + "bob" + atTTY + "service=shell" + "cmd=" + "colour=up",
			"\x10\x00\x00\x00\x00\x00",
		},
		"an optional argument that nothing handles": {
			"\x06\x01\x01\x01" + bob + "\x03" + "\x0d\x04\x09" + "bob" + atTTY + "service=shell" + "cmd=" + "colour*up",
			"\x02\x05\x00\x00\x00\x00" + "\x0d\x04\x0a\x0c\x0a" + "service=shell" + "cmd=" + "idletime=5" + "autocmd*menu" + "priv-lvl=1",
		},
		"no service":               {"\x06\x01\x01\x01" + bob + "\x01" + "\x08" + "bob" + atTTY + "cmd=show", "\x11\x00\x00\x00\x00\x00"},
		"a shell without cmd":      {"\x06\x01\x01\x01" + bob + "\x01" + "\x0d" + "bob" + atTTY + "service=shell", "\x11\x00\x00\x00\x00\x00"},
		"service after another":    {"\x06\x01\x01\x01" + bob + "\x02" + "\x04\x0d" + "bob" + atTTY + "cmd=" + "service=shell", "\x11\x00\x00\x00\x00\x00"},
		"an argument of no byte":   {"\x06\x01\x01\x01" + bob + "\x03" + "\x0d\x04\x00" + "bob" + atTTY + "service=shell" + "cmd=", "\x11\x00\x00\x00\x00\x00"},
		"an argument of one byte":  {"\x06\x01\x01\x01" + bob + "\x03" + "\x0d\x04\x01" + "bob" + atTTY + "service=shell" + "cmd=" + "x", "\x11\x00\x00\x00\x00\x00"},
		"a level above 15":         {"\x06\x10\x01\x01" + bob + "\x02" + "\x0d\x04" + "bob" + atTTY + "service=shell" + "cmd=", "\x11\x00\x00\x00\x00\x00"},
		"a method that is unknown": {"\x07\x01\x01\x01" + bob + "\x02" + "\x0d\x04" + "bob" + atTTY + "service=shell" + "cmd=", "\x11\x00\x00\x00\x00\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			r.t = t
			r.flow(t, 0xc0, wire.Authorization, []exchange{x})
		})
	}
}

// TestRFC8907_6_1_TheMethodOfTheDeviceDecidesNothing asks the same under every authen_method, authen_type and authen_service.
func TestRFC8907_6_1_TheMethodOfTheDeviceDecidesNothing(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	session := uint32(0)
	for _, method := range []byte{0, 1, 2, 3, 4, 5, 6, 8, 0x10, 0x11, 0x20} {
		for _, kind := range []byte{0, 1, 2, 3, 5, 6} {
			for _, service := range []byte{0, 1, 2, 3, 5, 6, 7, 8, 9} {
				for _, command := range []string{"show", "reload"} {
					session++
					body := asks("bob", "service=shell", "cmd="+command, "cmd-arg=all")
					body[0], body[2], body[3] = method, kind, service
					d.raw(wire.Authorization, wire.Version0, 1, session, body)
					want := wire.AuthorPassAdd
					if command == "reload" {
						want = wire.AuthorFail
					}
					d.response(session, want)
				}
			}
		}
	}
}

// TestRFC8907_6_2_ErrorsHaveNoArguments sends a request that is not processed.
func TestRFC8907_6_2_ErrorsHaveNoArguments(t *testing.T) {
	r := newRig(t)
	r.flow(t, 0xc0, wire.Authorization, []exchange{{"\x06\x10\x01\x01\x03\x00\x00\x02\x0d\x04bobservice=shellcmd=", "\x11\x00\x00\x00\x00\x00"}})
}

func TestRFC8907_7_Accounting(t *testing.T) {
	r := newRig(t)
	const rest = "\x06\x01\x01\x01\x03\x04\x09\x02\x09\x0dbob" + atTTY + "task_id=9" + "service=shell"
	for flags := range 16 {
		want := "\x00\x00\x00\x00\x01"
		switch flags & 0x0e {
		case 0x00, 0x06, 0x0c, 0x0e: // table 2: INVALID
			want = "\x00\x00\x00\x00\x02"
		}
		t.Run(fmt.Sprintf("flags %#x", flags), func(t *testing.T) {
			r.t = t
			records := r.accounted(func() { r.flow(t, 0xc0, wire.Accounting, []exchange{{string([]byte{byte(flags)}) + rest, want}}) })
			if recorded := len(records) > 0; recorded != (want[4] == 1) {
				t.Errorf("recorded: %t", recorded)
			}
		})
	}
}

// TestRFC8907_7_2_SuccessComesAfterTheCommit holds the log back, and then has it fail.
func TestRFC8907_7_2_SuccessComesAfterTheCommit(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	r.house.Hold()
	d.account(1, wire.AcctStart, "bob", "task_id=1", "service=shell")
	d.authorize(2, "bob", "service=shell", "cmd=show", "cmd-arg=all")
	d.response(2, wire.AuthorPassAdd) // which came later and is answered first
	r.house.Release()
	d.acct(1, wire.AcctSuccess)
	if n := r.house.People.Counts().Sessions; n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// TestRFC8907_7_2_AWatchdogAloneTellsNothingNew sends all that an update may have, with START and without.
func TestRFC8907_7_2_AWatchdogAloneTellsNothingNew(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	args := []string{
		"task_id=9", "start_time=1790000000", "elapsed_time=60", "bytes_in=1000", "bytes_out=2000", "paks_in=10", "paks_out=20", "service=system", "cmd=reload", "cmd-arg=now",
	}
	for i, flags := range []wire.AcctFlags{wire.AcctWatchdog | wire.AcctStart, wire.AcctWatchdog} {
		records := r.accounted(func() {
			d.account(uint32(i), flags, "bob", args...)
			d.acct(uint32(i), wire.AcctSuccess)
		})
		if len(records) != 1 {
			t.Fatalf("%v: %d records", flags, len(records))
		}
		v := records[0]
		told := v.SessionTime == 60 && v.InputOctets == 1000 && v.OutputOctets == 2000 && v.InputPackets == 10 && v.OutputPackets == 20 && string(v.Command) == "reload now"
		nothing := v.SessionTime == 0 && v.InputOctets == 0 && v.OutputOctets == 0 && v.InputPackets == 0 && v.OutputPackets == 0 && len(v.Command) == 0
		if v.Status != event.StatusInterim || string(v.SessionID) != "9" || told != (i == 0) || nothing != (i == 1) {
			t.Errorf("%v: %+v", flags, v)
		}
		if lines, ok := Describe(v.Raw); !ok || len(lines) != 8+len(args) {
			t.Errorf("%v: the record keeps %q", flags, lines)
		}
	}
}

// TestRFC8907_8_1_TimesAreUTC sends times with and without the name of a zone: seconds since the epoch are what they are.
func TestRFC8907_8_1_TimesAreUTC(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	for i, zone := range []string{"timezone=UTC", "timezone=PST", "timezone*"} {
		records := r.accounted(func() {
			d.account(uint32(i), wire.AcctStart, "bob", fmt.Sprintf("task_id=%d", i), "start_time=1790000000", zone, "service=shell")
			d.acct(uint32(i), wire.AcctSuccess)
		})
		if len(records) != 1 || records[0].EventUnix != 1790000000 {
			t.Errorf("%s: %+v", zone, records)
		}
	}
}

// TestRFC8907_8_1_NumbersThatDoNotFitAreNotHandled sends numbers that nothing could hold.
func TestRFC8907_8_1_NumbersThatDoNotFitAreNotHandled(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	records := r.accounted(func() {
		d.account(1, wire.AcctStop, "bob", "task_id=1", "stop_time=99999999999999999999", "elapsed_time=4294967296", "bytes_in=00000000000000000001", "bytes_out=7", "service=shell")
		d.acct(1, wire.AcctSuccess)
	})
	if len(records) != 1 {
		t.Fatalf("%d records", len(records))
	}
	if v := records[0]; v.SessionTime != 0 || v.InputOctets != 0 || v.OutputOctets != 7 || v.EventUnix > time.Now().Unix() {
		t.Errorf("%+v", v)
	}
	d.authorize(2, "bob", "service=shell", "cmd=", "priv-lvl=00000000000000000001") // as one that cannot be handled: mandatory, so that it is refused
	d.response(2, wire.AuthorFail)
	d.authorize(3, "bob", "service=shell", "cmd=", "priv-lvl*00000000000000000001") // optional, so that the answer has another
	d.response(3, wire.AuthorPassRepl, "service=shell", "cmd=", "idletime=5", "autocmd*menu", "priv-lvl=1")
}

// TestRFC8907_8_3_TaskIDsAreAnything begins and ends tasks whose numbers are none.
func TestRFC8907_8_3_TaskIDsAreAnything(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	ids := []string{"1", "01", "-1", " 1", "task of büro/7=*", strings.Repeat("7", 247)}
	for i, id := range ids {
		d.account(uint32(i), wire.AcctStart, "bob", "task_id="+id, "service=shell")
		d.acct(uint32(i), wire.AcctSuccess)
	}
	if n := r.house.People.Counts().Sessions; n != len(ids) {
		t.Errorf("%d sessions of %d", n, len(ids))
	}
	for i, id := range ids {
		d.account(uint32(100+i), wire.AcctStop, "bob", "task_id="+id, "service=shell")
		d.acct(uint32(100+i), wire.AcctSuccess)
	}
	if n := r.house.People.Counts().Sessions; n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// TestRFC8907_9_PrivilegeLevelsAreGiven asks for the shell of people with different levels.
func TestRFC8907_9_PrivilegeLevelsAreGiven(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	d.authorize(1, "alice", "service=shell", "cmd=")
	d.response(1, wire.AuthorPassAdd, "priv-lvl=15")
	d.authorize(2, "bob", "service=shell", "cmd=")
	d.response(2, wire.AuthorPassAdd, "idletime=5", "autocmd*menu", "priv-lvl=1")
	d.authorize(3, "nemo", "service=shell", "cmd=")
	d.response(3, wire.AuthorFail)
}

// TestRFC8907_3_6_UnknownOptionsAreAnErrorAndEndTheSession puts a value that there is not in every enumerated field.
func TestRFC8907_3_6_UnknownOptionsAreAnErrorAndEndTheSession(t *testing.T) {
	r := newRig(t)
	for name, x := range map[string]struct {
		kind wire.Type
		exchange
	}{
		"action":                        {wire.Authentication, exchange{"\x03\x01\x01\x01\x05\x04\x09\x00alice" + atTTY, "\x07" + plain}},
		"priv_lvl":                      {wire.Authentication, exchange{"\x01\x10\x01\x01\x05\x04\x09\x00alice" + atTTY, "\x07" + plain}},
		"authen_type":                   {wire.Authentication, exchange{"\x01\x01\x04\x01\x05\x04\x09\x00alice" + atTTY, "\x07" + plain}},
		"authen_service":                {wire.Authentication, exchange{"\x01\x01\x01\x0a\x05\x04\x09\x00alice" + atTTY, "\x07" + plain}},
		"authorization's authen_method": {wire.Authorization, exchange{"\x09\x01\x01\x01\x03\x04\x09\x02\x0d\x04bob" + atTTY + "service=shellcmd=", "\x11" + plain}},
		"accounting's authen_type":      {wire.Accounting, exchange{"\x02\x06\x01\x07\x01\x03\x04\x09\x01\x09bob" + atTTY + "task_id=1", "\x00\x00\x00\x00\x02"}},
	} {
		t.Run(name, func(t *testing.T) {
			r.t = t
			r.flow(t, 0xc0, x.kind, []exchange{x.exchange})
		})
	}
}

// TestRFC8907_3_7_UnprintableTextsAreAnError sends control characters, and a name beyond US-ASCII, which is one.
func TestRFC8907_3_7_UnprintableTextsAreAnError(t *testing.T) {
	r := newRig(t)
	r.house.Put("{kind: User, name: jürgen, spec: {roles: [{role: 1@core}]}}")
	r.house.Password("jürgen", "wonderland")
	r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x02\x01\x07\x04\x09\x0ajürgen" + atTTY + "wonderland", "\x01" + plain}})
	for _, user := range []string{"al\x00ice", "alice\n", "alice\x7f", "j\xfcrgen"} {
		r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x02\x01" + string([]byte{byte(len(user))}) + "\x04\x09\x0a" + user + atTTY + "wonderland", "\x07" + plain}})
	}
	r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x02\x01\x05\x04\x09\x0aalice" + "tty\x1b192.0.2.9" + "wonderland", "\x07" + plain}})
	r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x02\x01\x05\x04\x09\x0aalice" + "tty1192.0.2.\xb9" + "wonderland", "\x07" + plain}})
}

// TestRFC8907_3_7_NamesAreUsernameCasePreserved writes one name in the ways that RFC 8265 has be the same, and in others. Names of people have no case here.
func TestRFC8907_3_7_NamesAreUsernameCasePreserved(t *testing.T) {
	r := newRig(t)
	r.house.Put("{kind: User, name: Jürgen, spec: {roles: [{role: 1@core}]}}")
	r.house.Password("Jürgen", "wonderland")
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	for i, tc := range []struct {
		name string
		same bool
	}{
		{"J\u00fcrgen", true}, {"Ju\u0308rgen", true}, {"\uff2a\u00fcrgen", true}, {"J\u00dcRGEN", true}, {"Jurgen", false}, {"J\u00fc rgen", false},
	} {
		session, may := uint32(10*i), wire.AuthorFail
		if tc.same {
			may = wire.AuthorPassAdd
			for _, start := range proofs(t, tc.name, "wonderland") { // MS-CHAPv2 has the name in its proof, as it was typed
				d.start(session, start)
				d.reply(session, wire.AuthenPass)
			}
			d.start(session, wire.AuthenStart{Type: wire.TypeASCII})
			d.reply(session, wire.AuthenGetUser)
			d.say(session, 3, tc.name)
			d.reply(session, wire.AuthenGetPass)
			d.say(session, 5, "wonderland")
			d.reply(session, wire.AuthenPass)
		}
		d.authorize(session, tc.name, "service=shell", "cmd=show", "cmd-arg=all")
		d.response(session, may)
		records := r.accounted(func() {
			d.account(session, wire.AcctStart, tc.name, fmt.Sprintf("task_id=%d", i), "service=shell")
			d.acct(session, wire.AcctSuccess)
		})
		if len(records) != 1 || (string(records[0].User) == "Jürgen") != tc.same {
			t.Errorf("%q is accounted as %+v", tc.name, records)
		}
	}
}

// TestRFC8907_4_1_TheFirstPacketHasNumber1 begins with every other number.
func TestRFC8907_4_1_TheFirstPacketHasNumber1(t *testing.T) {
	r := newRig(t)
	for _, seq := range []uint8{3, 5, 127, 253} {
		d := r.dial("testing123")
		d.raw(wire.Authorization, wire.Version0, seq, 1, asks("alice", "service=shell", "cmd="))
		if h, body := d.read(); h.Seq != seq+1 || wire.AuthorStatus(body[0]) != wire.AuthorError {
			t.Errorf("number %d is answered %+v %x", seq, h, body)
		}
		d.ended()
	}
	for _, seq := range []uint8{0, 2, 254, 255} { // no client's, or none that an answer could follow
		d := r.dial("testing123")
		d.raw(wire.Authorization, wire.Version0, seq, 1, asks("alice", "service=shell", "cmd="))
		if h, body, err := d.next(); err == nil && wire.AuthorStatus(body[0]) != wire.AuthorError {
			t.Errorf("number %d is answered %+v %x", seq, h, body)
		}
	}
}

// TestRFC8907_4_1_OtherFlagsAreIgnored sets all flags that have no meaning.
func TestRFC8907_4_1_OtherFlagsAreIgnored(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	p := []byte("\xc1\x01\x01\xfa\x0a\x0b\x0c\x0d\x00\x00\x00\x24\x01\x01\x02\x01\x05\x04\x09\x0aalice" + atTTY + "wonderland")
	veil(p, "testing123")
	d.send(p)
	got := make([]byte, wire.HeaderLen+6)
	_ = d.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadFull(d.conn, got); err != nil {
		t.Fatal(err)
	}
	veil(got, "testing123")
	if string(got) != "\xc1\x01\x02\x00\x0a\x0b\x0c\x0d\x00\x00\x00\x06\x01"+plain {
		t.Errorf("answered %q", got)
	}
	d.ended() // none of them is that of single connections
}

// TestRFC8907_4_1_TheLongestPacketIsConfigured sends records around a bound, and around the one that the RFC recommends.
func TestRFC8907_4_1_TheLongestPacketIsConfigured(t *testing.T) {
	for _, limit := range []int{0, MinBody, 4096} {
		r := newRig(t, func(c *Config) { c.MaxBody = limit })
		longest := limit
		if limit == 0 {
			longest = 65536
		}
		for _, length := range []int{longest, longest + 1} {
			body := []byte("\x02\x06\x01\x01\x01\x03\xff\xff\x01\x09bob" + strings.Repeat("p", 255) + strings.Repeat("r", 255) + "task_id=1")
			for i := 0; len(body) < length; i++ { // arguments of 255 bytes, each with its length in front of all of them
				at := 9 + int(body[8])
				n := min(255, length-len(body)-1)
				if n < 2 { // what is left is added to the last one
					body[at-1] -= 2
					body = body[:len(body)-2]
					continue
				}
				body = append(body[:at], append([]byte{byte(n)}, body[at:]...)...)
				body[8]++
				body = append(append(body, "a="...), strings.Repeat("x", n-2)...)
			}
			d := r.dial("testing123")
			d.flags = wire.SingleConnect
			d.raw(wire.Accounting, wire.Version0, 1, 1, body)
			if length > longest {
				d.ended()
				continue
			}
			d.acct(1, wire.AcctSuccess)
		}
	}
	for _, limit := range []int{MinBody - 1, wire.MaxBody + 1} {
		if _, err := Start(Config{Plain: []string{"127.0.0.1:0"}, MaxBody: limit, NewLane: func() Lane { return nil }, Policies: new(policy.Holder)}); err == nil {
			t.Errorf("a bound of %d is taken", limit)
		}
	}
}

// TestRFC8907_4_3_TheFlagIsIgnoredAfterTheFirstExchange asks for many sessions when it is too late.
func TestRFC8907_4_3_TheFlagIsIgnoredAfterTheFirstExchange(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.start(1, wire.AuthenStart{Type: wire.TypeASCII, User: []byte("alice")})
	d.reply(1, wire.AuthenGetPass)
	d.flags = wire.SingleConnect
	d.say(1, 3, "wonderland")
	if h, body := d.read(); h.Flags != 0 || wire.AuthenStatus(body[0]) != wire.AuthenPass {
		t.Errorf("answered %+v %x", h, body)
	}
	d.ended()
	d = r.dial("testing123") // and it stays agreed where later packets do not have it
	d.flags = wire.SingleConnect
	d.authorize(1, "alice", "service=shell", "cmd=")
	d.response(1, wire.AuthorPassAdd, "priv-lvl=15")
	d.flags = 0
	for i := range uint32(3) {
		d.authorize(2+i, "alice", "service=shell", "cmd=")
		d.response(2+i, wire.AuthorPassAdd, "priv-lvl=15")
	}
}

// TestRFC8907_4_5_EachClientHasItsOwnSecret has two service providers on loopback.
func TestRFC8907_4_5_EachClientHasItsOwnSecret(t *testing.T) {
	r := newRig(t)
	long := strings.Repeat("0123456789abcdef", 8) // section 10.5.1: of 32 characters at least
	r.house.Put("{kind: ServiceProvider, name: edge, spec: {type: tacacs, tacacs: {system: core, sourceIPs: [127.0.0.77], secret: " + long + "}}}")
	for _, tc := range []struct {
		from, secret string
		want         wire.AuthenStatus
	}{
		{"127.0.0.77", long, wire.AuthenPass},
		{"127.0.0.77", long[:127], wire.AuthenError},
		{"127.0.0.77", "testing123", wire.AuthenError},
		{"127.0.0.78", "testing123", wire.AuthenPass},
		{"127.0.0.78", long, wire.AuthenError},
	} {
		d := r.dialFrom(tc.from, tc.secret)
		d.start(1, wire.AuthenStart{Type: wire.TypePAP, User: []byte("alice"), Data: []byte("wonderland")})
		h, body := d.read()
		if tc.want == wire.AuthenError { // obfuscated under the server's secret, which this device does not know
			if h.Seq != 2 || h.Length != 6 {
				t.Errorf("%v: answered %+v %x", tc, h, body)
			}
		} else if wire.AuthenStatus(body[0]) != tc.want {
			t.Errorf("%v: answered %+v %x", tc, h, body)
		}
		d.ended()
	}
	if n := r.dropped("wrong_secret"); n != 3 {
		t.Errorf("%d wrong secrets are counted", n)
	}
	if text := r.logs.String(); strings.Contains(text, long) || strings.Contains(text, "testing123") {
		t.Errorf("the log says %s", text)
	}
}

// TestRFC8907_4_5_LengthsThatDoNotAddUpAreAnError sends bodies that are a byte too long and a byte too short, under the right secret.
func TestRFC8907_4_5_LengthsThatDoNotAddUpAreAnError(t *testing.T) {
	r := newRig(t)
	for _, x := range []exchange{
		{"\x01\x01\x02\x01\x05\x04\x09\x0balice" + atTTY + "wonderland", "\x07" + plain},
		{"\x01\x01\x02\x01\x05\x04\x09\x09alice" + atTTY + "wonderland", "\x07" + plain},
		{"\x01\x01\x02", "\x07" + plain},
		{"", "\x07" + plain},
	} {
		r.flow(t, 0xc1, wire.Authentication, []exchange{x})
	}
	r.flow(t, 0xc0, wire.Authorization, []exchange{{"\x06\x01\x01\x01\x03\x00\x00\x02\x0d\x05bobservice=shellcmd=", "\x11" + plain}})
	r.flow(t, 0xc0, wire.Accounting, []exchange{{"\x02\x06\x01\x01\x01\x03\x00\x00\x01\x08bobtask_id=1", "\x00\x00\x00\x00\x02"}})
}

// TestRFC8907_5_4_1_VersionsThatDoNotFitAreAnError sends START packets under the other minor version.
func TestRFC8907_5_4_1_VersionsThatDoNotFitAreAnError(t *testing.T) {
	r := newRig(t)
	r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x01\x01\x01\x01\x05\x04\x09\x00alice" + atTTY, "\x07" + plain}})
	r.flow(t, 0xc0, wire.Authentication, []exchange{{"\x01\x01\x02\x01\x05\x04\x09\x0aalice" + atTTY + "wonderland", "\x07" + plain}})
	r.flow(t, 0xc1, wire.Authentication, []exchange{{"\x02\x01\x02\x01\x05\x04\x09\x0aalice" + atTTY + "wonderland", "\x07" + plain}})
}

// TestRFC8907_10_5_3_ChallengesAloneCanBeAccepted has a server that accepts challenge and response alone.
func TestRFC8907_10_5_3_ChallengesAloneCanBeAccepted(t *testing.T) {
	r := newRig(t)
	r.house.Put(challengesAlone)
	for name, start := range proofs(t, "alice", "wonderland") {
		d := r.dial("testing123")
		d.start(3, start)
		_, body := d.read()
		if passed := wire.AuthenStatus(body[0]) == wire.AuthenPass; passed != (name != "PAP") {
			t.Errorf("%s passes: %t", name, passed)
		}
	}
	d := r.dial("testing123")
	d.start(3, wire.AuthenStart{Type: wire.TypeASCII, User: []byte("alice")})
	d.reply(3, wire.AuthenGetPass)
	d.say(3, 3, "wonderland")
	d.reply(3, wire.AuthenRestart)
}

// TestRFC8907_10_5_2_ConnectionsAreTakenFromKnownClientsAlone connects from everywhere around those that are known.
func TestRFC8907_10_5_2_ConnectionsAreTakenFromKnownClientsAlone(t *testing.T) {
	r := newRig(t)
	r.house.Put("{kind: ServiceProvider, name: core, spec: {type: tacacs, tacacs: {sourceIPs: [127.0.0.5], secret: testing123}}}")
	for _, from := range []string{"127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.1.5"} {
		d := r.dialFrom(from, "testing123")
		_ = d.conn.SetDeadline(time.Now().Add(5 * time.Second))
		p := []byte("\xc1\x01\x01\x00\x0a\x0b\x0c\x0d\x00\x00\x00\x24\x01\x01\x02\x01\x05\x04\x09\x0aalice" + atTTY + "wonderland")
		veil(p, "testing123")
		_, _ = d.conn.Write(p) // a stranger's connection may have ended already
		n, _ := io.ReadFull(d.conn, make([]byte, wire.HeaderLen+6))
		if served := n > 0; served != (from == "127.0.0.5") {
			t.Errorf("%s is served: %t", from, served)
		}
	}
}

// TestRFC8907_4_3_SilentConnectionsAreClosed has the clock of a server go on while a device that has agreed on many sessions says nothing.
func TestRFC8907_4_3_SilentConnectionsAreClosed(t *testing.T) {
	var ahead atomic.Int64
	r := newRig(t, func(c *Config) { c.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) } })
	r.house.Put(coreDocument(", idleTimeout: 10m"))
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	d.authorize(1, "alice", "service=shell", "cmd=")
	d.response(1, wire.AuthorPassAdd, "priv-lvl=15")
	ahead.Store(int64(9 * time.Minute))
	time.Sleep(50 * time.Millisecond)
	d.authorize(2, "alice", "service=shell", "cmd=")
	d.response(2, wire.AuthorPassAdd, "priv-lvl=15")
	ahead.Store(int64(20 * time.Minute))
	r.logsIn("alice", "wonderland") // on another connection, so that the loop looks at its clock
	d.ended()
	if n := r.server.Connections().Ended[stream.Idle]; n != 1 {
		t.Errorf("%d connections ended for their silence", n)
	}
}
