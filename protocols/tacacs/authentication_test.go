package tacacs

import (
	"crypto/md5"
	"strings"
	"testing"

	"layeh.com/radius/rfc2759"

	"trine/protocols/tacacs/wire"
)

// proofs returns the START of each type of authentication that proves a password at once.
func proofs(t testing.TB, user, password string) map[string]wire.AuthenStart {
	t.Helper()
	challenge := []byte("0123456789abcdef")
	peer := []byte("fedcba9876543210")
	response, err := rfc2759.GenerateNTResponse(challenge, peer, []byte(user), []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	utf16, err := rfc2759.ToUTF16([]byte(password))
	if err != nil {
		t.Fatal(err)
	}
	first := rfc2759.ChallengeResponse(challenge[:8], rfc2759.NTPasswordHash(utf16))
	chapped := md5.Sum(append(append([]byte{9}, password...), challenge...))
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	start := func(kind wire.AuthenType, data []byte) wire.AuthenStart {
		return wire.AuthenStart{Type: kind, User: []byte(user), Port: []byte("tty1"), RemAddr: []byte("192.0.2.9"), Data: data}
	}
	return map[string]wire.AuthenStart{
		"PAP":       start(wire.TypePAP, []byte(password)),
		"CHAP":      start(wire.TypeCHAP, join([]byte{9}, challenge, chapped[:])),
		"MS-CHAP":   start(wire.TypeMSCHAP, join([]byte{7}, challenge[:8], make([]byte, 24), first, []byte{1})),
		"MS-CHAPv2": start(wire.TypeMSCHAPv2, join([]byte{7}, challenge, peer, make([]byte, 8), response, []byte{0})),
	}
}

func TestEveryTypeOfAuthenticationProvesThePassword(t *testing.T) {
	r := newRig(t)
	for _, tc := range []struct {
		password string
		want     wire.AuthenStatus
	}{{"wonderland", wire.AuthenPass}, {"looking-glass", wire.AuthenFail}} {
		for name, start := range proofs(t, "alice", tc.password) {
			t.Run(name+" "+tc.want.String(), func(t *testing.T) {
				d := r.dial("testing123")
				d.start(3, start)
				d.reply(3, tc.want)
				d.ended()
			})
		}
	}
	var counted uint64
	for _, l := range r.server.Stats().Latencies {
		for _, n := range l.Buckets {
			counted += n
		}
	}
	if counted != 8 {
		t.Errorf("%d latencies are counted", counted)
	}
}

func TestMalformedProofsFail(t *testing.T) {
	r := newRig(t)
	for name, start := range proofs(t, "alice", "wonderland") {
		if name == "PAP" {
			continue
		}
		start.Data = start.Data[:len(start.Data)-17] // a challenge that is too short, or none at all
		d := r.dial("testing123")
		d.start(3, start)
		d.reply(3, wire.AuthenFail)
	}
	noNT := proofs(t, "alice", "wonderland")["MS-CHAP"]
	noNT.Data[len(noNT.Data)-1] = 0
	d := r.dial("testing123")
	d.start(3, noNT)
	d.reply(3, wire.AuthenFail)
}

// TestRFC8907_5_4_3_AnotherTypeIsWantedWhereASCIIIsOff asks for a type that the identity provider has switched off, where RESTART is among the answers that
// the flow has.
func TestRFC8907_5_4_3_AnotherTypeIsWantedWhereASCIIIsOff(t *testing.T) {
	r := newRig(t)
	r.house.Put(challengesAlone)
	d := r.dial("testing123")
	d.start(3, wire.AuthenStart{Type: wire.TypeASCII, User: []byte("alice")})
	d.reply(3, wire.AuthenGetPass)
	d.say(3, 3, "wonderland")
	d.reply(3, wire.AuthenRestart)
	d.ended()
}

// challengesAlone is an identity provider that accepts what RFC 8907 section 10.5.3 wants to be acceptable alone.
const challengesAlone = `{kind: IdentityProvider, name: local, spec: {type: local, publicID: "https://idp.example.com", profiles: {tacacs: {enabled: true, ascii: false, pap: false, mschapv1: true}}}}`

func TestSendAuthIsRefused(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.builder.AuthenStart(d.buf, header(wire.Authentication, wire.Version1, 1, 5, 0), &wire.AuthenStart{
		Action: wire.SendAuth, Type: wire.TypePAP, Service: wire.ServicePPP, User: []byte("alice"),
	})
	d.send(d.packet())
	d.reply(5, wire.AuthenFail)
}

func TestASCIILoginAsksForWhatIsMissing(t *testing.T) {
	r := newRig(t)
	t.Run("the password alone", func(t *testing.T) {
		d := r.dial("testing123")
		d.start(3, wire.AuthenStart{Type: wire.TypeASCII, User: []byte("alice"), Data: []byte("wonderland")}) // RFC 8907 section 5.4.2.1: data is ignored
		if a := d.reply(3, wire.AuthenGetPass); string(a.ServerMsg) != "Keep out.\nReally.\nPassword: " {
			t.Errorf("asked %q", a.ServerMsg)
		}
		d.say(3, 3, "looking-glass")
		d.reply(3, wire.AuthenFail)
	})
	t.Run("a name that is not empty", func(t *testing.T) {
		d := r.dial("testing123")
		d.start(3, wire.AuthenStart{Type: wire.TypeASCII})
		d.reply(3, wire.AuthenGetUser)
		d.say(3, 3, "")
		if a := d.reply(3, wire.AuthenGetUser); string(a.ServerMsg) != "Username: " { // the banner was shown
			t.Errorf("asked %q", a.ServerMsg)
		}
		d.say(3, 5, "alice")
		d.reply(3, wire.AuthenGetPass)
		d.say(3, 7, "wonderland")
		d.reply(3, wire.AuthenPass)
	})
	t.Run("a name that is too long", func(t *testing.T) {
		d := r.dial("testing123")
		d.start(3, wire.AuthenStart{Type: wire.TypeASCII})
		d.reply(3, wire.AuthenGetUser)
		d.say(3, 3, strings.Repeat("a", 256))
		d.reply(3, wire.AuthenFail)
	})
	t.Run("a password that is too long", func(t *testing.T) {
		d := r.dial("testing123")
		d.start(3, wire.AuthenStart{Type: wire.TypeASCII, User: []byte("alice")})
		d.reply(3, wire.AuthenGetPass)
		d.say(3, 3, strings.Repeat("a", 60000))
		d.reply(3, wire.AuthenFail)
	})
}

// TestRFC8907_4_1_NumbersDoNotWrap asks a question when no number is left for its answer. No dialogue that is held comes so far, so the handler has no loop here.
func TestRFC8907_4_1_NumbersDoNotWrap(t *testing.T) {
	secret, err := wire.NewSecret([]byte("testing123"))
	if err != nil {
		t.Fatal(err)
	}
	h := &handler{common: &common{}, stats: new(counters)}
	h.departures.init()
	p := &peer{secret: secret, begun: true}
	s := &session{peer: p, seq: 253, header: header(wire.Authentication, wire.Version0, 253, 3, 0)}
	p.sessions = append(p.sessions, s)
	h.ask(s, wire.AuthenGetPass, askedPassword, "Password: ")
	if h.departures.count != 1 || s.asked != askedNothing || len(p.sessions) != 0 || len(h.departures.closing) != 1 {
		t.Fatalf("%d answers, asked %d, %d sessions", h.departures.count, s.asked, len(p.sessions))
	}
	h.departures.sealing.Run()
	packet := h.departures.list[0].packet
	secret.Obfuscate(packet)
	if packet[2] != 254 || wire.AuthenStatus(packet[wire.HeaderLen]) != wire.AuthenRestart {
		t.Errorf("answered %x", packet)
	}
}

// TestRFC8907_5_4_3_AnAbortIsNotAnswered gives a login up; a connection of one session then ends.
func TestRFC8907_5_4_3_AnAbortIsNotAnswered(t *testing.T) {
	r := newRig(t)
	for _, flags := range []wire.Flags{0, wire.SingleConnect} {
		d := r.dial("testing123")
		d.flags = flags
		d.start(3, wire.AuthenStart{Type: wire.TypeASCII})
		d.reply(3, wire.AuthenGetUser)
		d.builder.AuthenContinue(d.buf, header(wire.Authentication, wire.Version0, 3, 3, 0), &wire.AuthenContinue{Abort: true, Data: []byte("gone")})
		d.send(d.packet())
		if flags == 0 {
			d.ended()
			continue
		}
		d.authorize(4, "alice", "service=shell", "cmd=") // the next answer is to this
		d.response(4, wire.AuthorPassAdd, "priv-lvl=15")
	}
	if n := r.dropped("aborted"); n != 2 {
		t.Errorf("%d aborts are counted", n)
	}
	if n := r.server.Stats().Sessions; n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

func TestEnableAsksForAPrivilegeLevel(t *testing.T) {
	r := newRig(t)
	enable := func(t *testing.T, user, password string, level uint8, want wire.AuthenStatus) {
		t.Helper()
		for _, kind := range []wire.AuthenType{wire.TypeASCII, wire.TypeNotSet, wire.TypePAP} {
			d := r.dial("testing123")
			start := wire.AuthenStart{Type: kind, Service: wire.ServiceEnable, PrivLvl: level, User: []byte(user)}
			if kind == wire.TypePAP {
				start.Data = []byte(password)
			}
			d.start(3, start)
			if kind != wire.TypePAP {
				d.reply(3, wire.AuthenGetPass)
				d.say(3, 3, password)
			}
			d.reply(3, want)
		}
	}
	t.Run("by the person's own password", func(t *testing.T) { enable(t, "alice", "wonderland", 15, wire.AuthenPass) })
	t.Run("by a wrong password", func(t *testing.T) { enable(t, "alice", "looking-glass", 15, wire.AuthenFail) })
	t.Run("above what the roles give", func(t *testing.T) { enable(t, "bob", "builder", 15, wire.AuthenFail) })
	t.Run("within what the roles give", func(t *testing.T) { enable(t, "bob", "builder", 1, wire.AuthenPass) })
	r.house.Put("{kind: InformationSystem, name: core, spec: {enableSecret: sesame}}")
	t.Run("by the enable secret", func(t *testing.T) { enable(t, "alice", "sesame", 15, wire.AuthenPass) })
	t.Run("by the own password where there is a secret", func(t *testing.T) { enable(t, "alice", "wonderland", 15, wire.AuthenFail) })
}

// logsIn reports whether a password is the user's.
func (r *rig) logsIn(user, password string) bool {
	r.t.Helper()
	d := r.dial("testing123")
	d.start(3, wire.AuthenStart{Type: wire.TypePAP, User: []byte(user), Data: []byte(password)})
	_, body := d.read()
	return wire.AuthenStatus(body[0]) == wire.AuthenPass
}

func TestPasswordIsChanged(t *testing.T) {
	r := newRig(t)
	begin := func() *device {
		d := r.dial("testing123")
		d.start(3, wire.AuthenStart{Action: wire.ChangePassword, Type: wire.TypeASCII, User: []byte("bob")})
		if a := d.reply(3, wire.AuthenGetData); !a.NoEcho || !strings.HasSuffix(string(a.ServerMsg), "Old password: ") { // RFC 8907 section 5.4.2.7: GETPASS is for the new one
			t.Errorf("asked %q", a.ServerMsg)
		}
		return d
	}
	d := begin()
	d.say(3, 3, "builder")
	if a := d.reply(3, wire.AuthenGetPass); !a.NoEcho || string(a.ServerMsg) != "New password: " {
		t.Errorf("asked %q", a.ServerMsg)
	}
	d.say(3, 5, "tinker")
	d.reply(3, wire.AuthenGetPass)
	d.say(3, 7, "tailor")
	if a := d.reply(3, wire.AuthenGetPass); !strings.HasPrefix(string(a.ServerMsg), "The passwords differ.") {
		t.Errorf("asked %q", a.ServerMsg)
	}
	d.say(3, 9, "tiny") // the policy wants six
	d.reply(3, wire.AuthenGetPass)
	d.say(3, 11, "tiny")
	if a := d.reply(3, wire.AuthenGetPass); !strings.Contains(string(a.ServerMsg), "shorter than 6 characters") {
		t.Errorf("asked %q", a.ServerMsg)
	}
	d.say(3, 13, "soldier")
	d.reply(3, wire.AuthenGetPass)
	if !r.logsIn("bob", "builder") {
		t.Error("the password is changed before it was said twice")
	}
	d.say(3, 15, "soldier")
	d.reply(3, wire.AuthenPass)
	if r.logsIn("bob", "builder") || !r.logsIn("bob", "soldier") {
		t.Error("the password is not changed")
	}
	d = begin()
	d.say(3, 3, "builder") // the old one
	d.reply(3, wire.AuthenGetPass)
	d.say(3, 5, "sailor-")
	d.reply(3, wire.AuthenGetPass)
	d.say(3, 7, "sailor-")
	d.reply(3, wire.AuthenFail)
	if r.logsIn("bob", "sailor-") {
		t.Error("the password is changed by who does not know it")
	}
	d = begin() // who tries too often is refused
	d.say(3, 3, "soldier")
	d.reply(3, wire.AuthenGetPass)
	seq := uint8(5)
	for range maxRefused {
		d.say(3, seq, "")
		d.reply(3, wire.AuthenGetPass)
		seq += 2
	}
	d.say(3, seq, "")
	d.reply(3, wire.AuthenFail)
}

func TestPasswordThatIsTooOldIsChangedWithinTheLogin(t *testing.T) {
	r := newRig(t)
	r.house.PasswordToChange("bob", "builder")
	d := r.dial("testing123")
	d.start(3, wire.AuthenStart{Type: wire.TypeASCII, User: []byte("bob")})
	d.reply(3, wire.AuthenGetPass)
	d.say(3, 3, "builder")
	if a := d.reply(3, wire.AuthenGetPass); string(a.ServerMsg) != "Your password has to be changed.\nNew password: " {
		t.Errorf("asked %q", a.ServerMsg)
	}
	d.say(3, 5, "soldier")
	d.reply(3, wire.AuthenGetPass)
	d.say(3, 7, "soldier")
	d.reply(3, wire.AuthenPass)
	if !r.logsIn("bob", "soldier") {
		t.Error("the password is not changed")
	}
}
