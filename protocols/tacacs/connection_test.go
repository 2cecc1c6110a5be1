package tacacs

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"trine/protocols/tacacs/wire"
)

// TestRFC8907_4_3_SingleConnectIsAgreedOnInTheFirstExchange shows the flag in the first answer and in no other.
func TestRFC8907_4_3_SingleConnectIsAgreedOnInTheFirstExchange(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	for i := range uint32(3) {
		d.authorize(i, "alice", "service=shell", "cmd=")
		h, _ := d.read()
		if got := h.Flags&wire.SingleConnect != 0; got != (i == 0) {
			t.Errorf("answer %d has the flag: %t", i, got)
		}
	}
	if n := r.server.Stats().SingleConnect; n != 1 {
		t.Errorf("%d connections have agreed", n)
	}
	d = r.dial("testing123") // later the flag means nothing
	d.authorize(1, "alice", "service=shell", "cmd=")
	if h, _ := d.read(); h.Flags&wire.SingleConnect != 0 {
		t.Error("the server agrees to what was not asked for")
	}
	d.ended()
	r.house.Put(strings.Replace(coreDocument(""), "secret: testing123", "secret: testing123, singleConnect: false", 1))
	d = r.dial("testing123")
	d.flags = wire.SingleConnect
	d.authorize(1, "alice", "service=shell", "cmd=")
	if h, _ := d.read(); h.Flags&wire.SingleConnect != 0 {
		t.Error("the server agrees to what its document forbids")
	}
	d.ended()
}

// coreDocument is the service provider with further lines in its block.
func coreDocument(more string) string {
	return "{kind: ServiceProvider, name: core, spec: {type: tacacs, tacacs: {sourceIPs: [127.0.0.0/16], secret: testing123" + more + "}}}"
}

// TestRFC8907_4_3_ASecondSessionNeedsAnAgreement begins a second session on a connection that is for one.
func TestRFC8907_4_3_ASecondSessionNeedsAnAgreement(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.start(1, wire.AuthenStart{Type: wire.TypeASCII})
	d.reply(1, wire.AuthenGetUser)
	d.authorize(2, "alice", "service=shell", "cmd=")
	d.response(2, wire.AuthorError)
	d.say(1, 3, "alice") // RFC 8907 section 4.4: what is established may be completed
	d.reply(1, wire.AuthenGetPass)
	d.say(1, 5, "wonderland")
	d.reply(1, wire.AuthenPass)
	d.ended()
	if n := r.dropped("not_single_connect"); n != 1 {
		t.Errorf("%d are counted", n)
	}
}

// TestRFC8907_4_4_AWrongSecretEndsTheConnectionOnceItsSessionsAreComplete sends a packet under another secret between those of a login.
func TestRFC8907_4_4_AWrongSecretEndsTheConnectionOnceItsSessionsAreComplete(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	d.start(1, wire.AuthenStart{Type: wire.TypeASCII})
	d.reply(1, wire.AuthenGetUser)
	good := d.secret
	d.secret, _ = wire.NewSecret([]byte("another"))
	d.authorize(2, "alice", "service=shell", "cmd=")
	d.secret = good // the error is obfuscated as everything of this connection was
	d.response(2, wire.AuthorError)
	d.authorize(3, "alice", "service=shell", "cmd=")
	d.response(3, wire.AuthorError) // no new sessions
	d.say(1, 3, "alice")
	d.reply(1, wire.AuthenGetPass)
	d.say(1, 5, "wonderland")
	d.reply(1, wire.AuthenPass)
	d.ended()
	if n := r.dropped("wrong_secret"); n != 1 || r.dropped("connection_ending") != 1 {
		t.Errorf("%d are counted", n)
	}
	if text := r.logs.String(); !strings.Contains(text, "secret differs") || !strings.Contains(text, "client=core") || strings.Contains(text, "another") || strings.Contains(text, "testing123") {
		t.Errorf("the log says: %s", text)
	}
}

func TestWrongSecretOfTheFirstPacketEndsTheConnection(t *testing.T) {
	r := newRig(t)
	for range 3 {
		d := r.dial("another")
		d.start(1, wire.AuthenStart{Type: wire.TypePAP, User: []byte("alice"), Data: []byte("wonderland")})
		h, _ := d.read()
		if h.Type != wire.Authentication || h.Session != 1 || h.Seq != 2 {
			t.Errorf("answered %+v", h)
		}
		d.ended()
	}
	if n := r.dropped("wrong_secret"); n != 3 {
		t.Errorf("%d are counted", n)
	}
}

func TestMalformedPacketUnderTheRightSecretEndsItsSessionAlone(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	d.builder.AuthorRequest(d.buf, header(wire.Authorization, wire.Version0, 1, 9, d.flags), &wire.AuthorRequest{
		Method: wire.MethodTACACSPlus, Type: wire.TypeASCII, Service: wire.ServiceLogin, User: []byte("alice"),
	})
	d.builder.Arg([]byte("service=shell"))
	d.builder.Arg([]byte("cmd=show"))
	p := d.packet()
	d.secret.Obfuscate(p)
	p[wire.HeaderLen+1] = 16 // a privilege level that there is not
	d.secret.Obfuscate(p)
	d.send(p)
	d.response(9, wire.AuthorError)
	d.authorize(10, "alice", "service=shell", "cmd=")
	d.response(10, wire.AuthorPassAdd, "priv-lvl=15")
	if n := r.dropped("priv_lvl_range"); n != 1 {
		t.Errorf("%d are counted", n)
	}
}

func TestBothSecretsAreTakenWhileOneIsChanged(t *testing.T) {
	r := newRig(t)
	two := "{kind: ServiceProvider, name: core, spec: {type: tacacs, tacacs: {sourceIPs: [127.0.0.0/16], secrets: [{value: old-secret}, {value: new-secret}]}}}"
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	d.authorize(1, "alice", "service=shell", "cmd=")
	d.response(1, wire.AuthorPassAdd, "priv-lvl=15")
	r.house.Put(two)
	for i, secret := range []string{"new-secret", "old-secret", "new-secret"} { // also on a connection that is open
		d.secret, _ = wire.NewSecret([]byte(secret))
		d.authorize(uint32(10+i), "alice", "service=shell", "cmd=")
		d.response(uint32(10+i), wire.AuthorPassAdd, "priv-lvl=15")
	}
	d.secret, _ = wire.NewSecret([]byte("old-secret"))
	d.authorize(14, "alice", "service=shell", "cmd=")
	d.response(14, wire.AuthorPassAdd, "priv-lvl=15")
	d.secret, _ = wire.NewSecret([]byte("new-secret"))
	var together []byte // all of them are read under the secret before
	for i := range uint32(3) {
		together = append(together, d.authorization(15+i, "alice", "service=shell", "cmd=")...)
	}
	d.send(together)
	for i := range uint32(3) {
		d.response(15+i, wire.AuthorPassAdd, "priv-lvl=15")
	}
	d.secret, _ = wire.NewSecret([]byte("testing123"))
	d.authorize(20, "alice", "service=shell", "cmd=")
	d.secret, _ = wire.NewSecret([]byte("new-secret"))
	d.response(20, wire.AuthorError)
	d.ended()
}

func TestSessionsAreKeptApart(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	for i := range uint32(20) {
		d.start(i, wire.AuthenStart{Type: wire.TypeASCII})
		d.reply(i, wire.AuthenGetUser)
	}
	for i := range uint32(20) {
		d.say(i, 3, []string{"alice", "bob"}[i%2])
		d.reply(i, wire.AuthenGetPass)
	}
	for i := range uint32(20) {
		d.say(i, 5, []string{"wonderland", "builder"}[i%2])
		d.reply(i, wire.AuthenPass)
	}
	if n := r.server.Stats().Sessions; n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	d.start(7, wire.AuthenStart{Type: wire.TypeASCII}) // a number can come again
	d.reply(7, wire.AuthenGetUser)
}

func TestPacketsOutOfTurnEndTheirSession(t *testing.T) {
	for name, out := range map[string]func(d *device){
		"the session's number again": func(d *device) { d.start(1, wire.AuthenStart{Type: wire.TypeASCII}) },
		"a number left out":          func(d *device) { d.say(1, 5, "alice") },
		"a server's number":          func(d *device) { d.say(1, 4, "alice") },
		"another kind":               func(d *device) { d.authorize(1, "alice", "service=shell", "cmd=") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			d := r.dial("testing123")
			d.flags = wire.SingleConnect
			d.start(1, wire.AuthenStart{Type: wire.TypeASCII})
			d.reply(1, wire.AuthenGetUser)
			if name == "a server's number" { // the builder would make a REPLY's number of it
				d.builder.AuthenReply(d.buf, header(wire.Authentication, wire.Version0, 4, 1, d.flags), wire.AuthenPass, false)
				d.send(d.packet())
			} else {
				out(d)
			}
			if name != "a server's number" {
				h, body := d.read()
				if status := body[0]; h.Type == wire.Authentication && wire.AuthenStatus(status) != wire.AuthenError || h.Type == wire.Authorization && wire.AuthorStatus(status) != wire.AuthorError {
					t.Errorf("answered %+v %x", h, body)
				}
			}
			d.say(1, 3, "alice") // it is over
			d.reply(1, wire.AuthenError)
			d.authorize(2, "alice", "service=shell", "cmd=") // the others are not
			d.response(2, wire.AuthorPassAdd, "priv-lvl=15")
		})
	}
}

func TestRFC8907_4_5_PacketsInClearAreRefusedWithoutAWord(t *testing.T) {
	r := newRig(t)
	d := r.dial("")
	d.start(1, wire.AuthenStart{Type: wire.TypePAP, User: []byte("alice"), Data: []byte("wonderland")})
	d.ended()
	if n := r.dropped("in_clear"); n != 1 {
		t.Errorf("%d are counted", n)
	}
}

func TestRFC8907_3_6_UnknownTypeIsAnsweredByItsHeader(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.send([]byte{0xc0, 9, 1, 0, 0, 0, 0, 7, 0, 0, 0, 0})
	if h, body := d.read(); h.Type != 9 || h.Seq != 2 || h.Session != 7 || len(body) > 0 {
		t.Errorf("answered %+v %x", h, body)
	}
	d.ended()
}

func TestHeadersThatMakeNoSense(t *testing.T) {
	r := newRig(t)
	for name, p := range map[string][]byte{
		"another protocol":      []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"a body over the limit": {0xc0, 1, 1, 0, 0, 0, 0, 7, 0, 1, 0, 1},
		"a body without end":    {0xc0, 1, 1, 0, 0, 0, 0, 7, 255, 255, 255, 255},
		"another major version": {0xd0, 1, 1, 0, 0, 0, 0, 7, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := r.dial("testing123")
			d.send(p)
			if name == "another major version" {
				d.reply(7, wire.AuthenError)
			}
			d.ended()
		})
	}
	t.Run("an unknown minor version", func(t *testing.T) { // RFC 8907 section 5.4.1: the nearest that there is
		d := r.dial("testing123")
		d.send([]byte{0xc5, 1, 1, 0, 0, 0, 0, 7, 0, 0, 0, 0})
		h, _ := d.read()
		if h.Version != wire.Version1 {
			t.Errorf("answered under version %x", h.Version)
		}
		d.ended()
	})
}

func TestStrangersAreRefused(t *testing.T) {
	r := newRig(t)
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 9, 0, 1)}}).Dial("tcp", r.to.String())
	if err != nil {
		t.Fatal(err)
	}
	d := newDevice(t, conn, "testing123")
	if _, _, err := d.next(); err == nil {
		t.Error("a stranger is served")
	}
	eventually(t, "it is counted", func() bool { return r.dropped("unknown_client") == 1 })
}

func TestConfigurationCountsForTheNextPacket(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	d.authorize(1, "bob", "service=shell", "cmd=reload")
	d.response(1, wire.AuthorFail)
	r.house.Put(`{kind: Role, name: 1@core, spec: {commands: [{permit: "reload"}]}}`)
	d.authorize(2, "bob", "service=shell", "cmd=reload")
	d.response(2, wire.AuthorPassAdd)
	r.house.Put("{kind: ServiceProvider, name: core, spec: {type: tacacs, tacacs: {sourceIPs: [192.0.2.0/24], secret: testing123}}}")
	d.authorize(3, "bob", "service=shell", "cmd=reload") // the address is nobody's now
	d.ended()
}

func TestBoundsOfSessionsDecisionsAndRecords(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxSessions, c.MaxRecords = 3, 2 })
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	r.house.Hold()
	for i := range uint32(2) {
		d.account(i, wire.AcctStart, "alice", fmt.Sprintf("task_id=%d", i))
	}
	d.account(2, wire.AcctStart, "alice", "task_id=2")
	d.acct(2, wire.AcctError) // more records than may wait
	d.start(3, wire.AuthenStart{Type: wire.TypeASCII})
	d.reply(3, wire.AuthenGetUser)
	d.start(4, wire.AuthenStart{Type: wire.TypeASCII})
	d.reply(4, wire.AuthenError) // more sessions than a connection may have
	r.house.Release()
	d.acct(0, wire.AcctSuccess)
	d.acct(1, wire.AcctSuccess)
	if r.dropped("records_full") != 1 || r.dropped("sessions_full") != 1 {
		t.Error("they are not counted")
	}
	r = newRig(t, func(c *Config) { c.MaxAll = 2 })
	for i := range uint32(2) {
		d := r.dial("testing123")
		d.start(i, wire.AuthenStart{Type: wire.TypeASCII})
		d.reply(i, wire.AuthenGetUser)
	}
	d = r.dial("testing123")
	d.start(2, wire.AuthenStart{Type: wire.TypeASCII})
	d.reply(2, wire.AuthenError) // more sessions than a loop may have
	if r.dropped("sessions_full") != 1 {
		t.Error("they are not counted")
	}
}

func TestPeopleWhoDoNotAnswerAreForgotten(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Patience = 50 * time.Millisecond })
	d := r.dial("testing123")
	d.start(1, wire.AuthenStart{Type: wire.TypeASCII})
	d.reply(1, wire.AuthenGetUser)
	d.ended()
	if n := r.dropped("unanswered"); n != 1 {
		t.Errorf("%d are counted", n)
	}
	r = newRig(t, func(c *Config) { c.Patience = 2 * time.Second })
	busy := r.dial("testing123") // who answers in time is not
	busy.flags = wire.SingleConnect
	busy.start(1, wire.AuthenStart{Action: wire.ChangePassword, Type: wire.TypeASCII})
	busy.reply(1, wire.AuthenGetUser)
	for i, round := range []struct { // longer in all than one question may wait
		said  string
		asked wire.AuthenStatus
	}{{"", wire.AuthenGetUser}, {"", wire.AuthenGetUser}, {"bob", wire.AuthenGetData}, {"builder", wire.AuthenGetPass}, {"", wire.AuthenGetPass}, {"", wire.AuthenGetPass}} {
		time.Sleep(400 * time.Millisecond)
		busy.say(1, uint8(3+2*i), round.said)
		busy.reply(1, round.asked)
	}
}

func TestConnectionThatEndsTakesItsSessionsWithIt(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	d.start(1, wire.AuthenStart{Type: wire.TypeASCII})
	d.reply(1, wire.AuthenGetUser)
	r.house.Hold()
	d.account(2, wire.AcctStart, "alice", "task_id=2")
	eventually(t, "the record waits", func() bool { return r.server.Stats().Records == 1 })
	_ = d.conn.Close()
	eventually(t, "the sessions end", func() bool { return r.server.Stats().Sessions == 0 && r.dropped("connection_gone") == 2 })
	r.house.Release()
	eventually(t, "the record is done", func() bool { return r.server.Stats().Records == 0 })
	if n := r.house.People.Counts().Sessions; n != 1 { // it was recorded all the same
		t.Errorf("%d sessions", n)
	}
}

func TestStopAnswersWhatIsUnderWay(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	d.start(1, wire.AuthenStart{Type: wire.TypeASCII}) // people are not waited for
	d.reply(1, wire.AuthenGetUser)
	r.house.Hold()
	d.account(2, wire.AcctStart, "alice", "task_id=2")
	eventually(t, "the record waits", func() bool { return r.server.Stats().Records == 1 })
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	eventually(t, "nothing new is taken", func() bool {
		conn, err := net.Dial("tcp", r.to.String())
		if err != nil {
			return true
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		_, err = conn.Read(make([]byte, 1))
		return err != nil
	})
	d.authorize(3, "alice", "service=shell", "cmd=")
	d.response(3, wire.AuthorError)
	r.house.Release()
	d.acct(2, wire.AcctSuccess)
	d.ended()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestQuirksAreLetPassWhereTheyAreSwitchedOn(t *testing.T) {
	for name, tc := range map[string]struct {
		quirk string
		try   func(t *testing.T, d *device) (passed bool)
	}{
		"password in START": {"passwordInStart", func(t *testing.T, d *device) bool {
			d.start(1, wire.AuthenStart{Type: wire.TypeASCII, User: []byte("alice"), Data: []byte("wonderland")})
			_, body := d.read()
			return wire.AuthenStatus(body[0]) == wire.AuthenPass
		}},
		"minor version 1": {"minorVersionOneAnywhere", func(t *testing.T, d *device) bool {
			d.builder.AuthorRequest(d.buf, header(wire.Authorization, wire.Version0, 1, 1, 0), &wire.AuthorRequest{Method: wire.MethodTACACSPlus, Type: wire.TypeASCII, Service: wire.ServiceLogin, User: []byte("alice")})
			d.builder.Arg([]byte("service=shell"))
			d.builder.Arg([]byte("cmd="))
			p := d.packet()
			d.secret.Obfuscate(p)
			p[0] = byte(wire.Version1)
			d.secret.Obfuscate(p)
			d.send(p)
			_, body := d.read()
			return wire.AuthorStatus(body[0]) == wire.AuthorPassAdd
		}},
		"a short body": {"shortBody", func(t *testing.T, d *device) bool {
			d.builder.AuthorRequest(d.buf, header(wire.Authorization, wire.Version0, 1, 1, 0), &wire.AuthorRequest{Method: wire.MethodTACACSPlus, Type: wire.TypeASCII, Service: wire.ServiceLogin, User: []byte("alice")})
			d.builder.Arg([]byte("service=shell"))
			d.builder.Arg([]byte("cmd="))
			p := d.packet()
			d.secret.Obfuscate(p)
			p = append(slices.Clone(p), 0, 0, 0)
			p[11] += 3
			d.secret.Obfuscate(p)
			d.send(p)
			_, body := d.read()
			return wire.AuthorStatus(body[0]) == wire.AuthorPassAdd
		}},
		"pairs without separator": {"pairsWithoutSeparator", func(t *testing.T, d *device) bool {
			d.builder.AuthorRequest(d.buf, header(wire.Authorization, wire.Version0, 1, 1, 0), &wire.AuthorRequest{Method: wire.MethodTACACSPlus, Type: wire.TypeASCII, Service: wire.ServiceLogin, User: []byte("alice")})
			d.builder.Arg([]byte("service=shell"))
			d.builder.Arg([]byte("cmd="))
			d.builder.Arg([]byte("x=y")) // whose separator is taken away
			p := d.packet()
			d.secret.Obfuscate(p)
			p[len(p)-2] = 'z'
			d.secret.Obfuscate(p)
			d.send(p)
			_, body := d.read()
			return wire.AuthorStatus(body[0]) == wire.AuthorPassAdd || wire.AuthorStatus(body[0]) == wire.AuthorPassRepl
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if tc.try(t, r.dial("testing123")) {
				t.Error("it passes without the quirk")
			}
			r.house.Put(coreDocument(", quirks: {" + tc.quirk + ": true}"))
			if !tc.try(t, r.dial("testing123")) {
				t.Error("it does not pass with the quirk")
			}
		})
	}
}

// asks returns the body of an authorization REQUEST of a user, with arguments as they are given.
func asks(user string, args ...string) []byte {
	body := []byte{byte(wire.MethodTACACSPlus), 1, byte(wire.TypeASCII), byte(wire.ServiceLogin), byte(len(user)), 0, 0, byte(len(args))}
	for _, a := range args {
		body = append(body, byte(len(a)))
	}
	return append(append(body, user...), strings.Join(args, "")...)
}

// TestArgumentsAgainstTheRFCAreReadAndRepeatedWithinIt sends arguments without a separator and without a byte, and has the server repeat what it takes them for.
func TestArgumentsAgainstTheRFCAreReadAndRepeatedWithinIt(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.raw(wire.Authorization, wire.Version0, 1, 1, asks("bob", "", "service=shell", "cmd="))
	d.response(1, wire.AuthorError)
	d.ended()
	r.house.Put(coreDocument(", quirks: {pairsWithoutSeparator: true}"))
	d = r.dial("testing123")
	d.flags = wire.SingleConnect
	d.raw(wire.Authorization, wire.Version0, 1, 2, asks("bob", "", "service=shell", "cmd=", "", "roles"))
	d.response(2, wire.AuthorPassAdd, "idletime=5", "autocmd*menu", "priv-lvl=1")
	d.raw(wire.Authorization, wire.Version0, 1, 3, asks("bob", "", "service=shell", "cmd=", "roles", "idletime*9")) // which is replaced, so that all of them are repeated
	d.response(3, wire.AuthorPassRepl, "service=shell", "cmd=", "roles*", "idletime=5", "autocmd*menu", "priv-lvl=1")
	longest := strings.Repeat("x", 254)
	d.raw(wire.Authorization, wire.Version0, 1, 4, asks("bob", "service=shell", "cmd=", longest, "idletime*9"))
	d.response(4, wire.AuthorPassRepl, "service=shell", "cmd=", longest+"*", "idletime=5", "autocmd*menu", "priv-lvl=1")
	d.raw(wire.Authorization, wire.Version0, 1, 5, asks("bob", "service=shell", "cmd=", longest+"x")) // there is no room for its separator
	d.response(5, wire.AuthorFail)
	records := len(r.accounted(func() {
		d.raw(wire.Accounting, wire.Version0, 1, 6, append([]byte{byte(wire.AcctStart)}, asks("bob", "", "task_id=1", "service=shell", "roles")...))
		d.acct(6, wire.AcctSuccess)
	}))
	if records != 1 {
		t.Errorf("%d records", records)
	}
}

func TestTextBehindTheRemoteAddressIsCutOff(t *testing.T) {
	r := newRig(t)
	r.house.Put(coreDocument(", quirks: {remoteAddressText: true}"))
	var seen []string
	r.house.Watch(func(p []byte) { seen = append(seen, string(p)) })
	d := r.dial("testing123")
	d.start(1, wire.AuthenStart{Type: wire.TypePAP, User: []byte("alice"), Data: []byte("wonderland"), RemAddr: []byte("192.0.2.77 from the roof")})
	d.reply(1, wire.AuthenPass)
	d.ended()
	eventually(t, "the decision is recorded", func() bool {
		r.house.Watch(nil)
		all := strings.Join(seen, "")
		if all == "" {
			r.house.Watch(func(p []byte) { seen = append(seen, string(p)) })
			return false
		}
		if !strings.Contains(all, "192.0.2.77") || strings.Contains(all, "roof") {
			t.Errorf("recorded %q", all)
		}
		return true
	})
}

func TestProxiesTellTheAddressOfTheDevice(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")} })
	from := func(ip string) *device {
		conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).Dial("tcp", r.to.String())
		if err != nil {
			t.Fatal(err)
		}
		return newDevice(t, conn, "testing123")
	}
	d := from("127.0.0.2")
	d.send([]byte("PROXY TCP4 127.0.0.99 127.0.0.1 5000 49\r\n"))
	d.start(1, wire.AuthenStart{Type: wire.TypePAP, User: []byte("alice"), Data: []byte("wonderland")})
	d.reply(1, wire.AuthenPass)
	d = from("127.0.0.2") // the device is a stranger
	d.send([]byte("PROXY TCP4 198.51.100.1 127.0.0.1 5000 49\r\n"))
	if _, _, err := d.next(); err == nil {
		t.Error("a stranger behind a proxy is served")
	}
	d = from("127.0.0.3") // the proxy is one
	d.send([]byte("PROXY TCP4 127.0.0.99 127.0.0.1 5000 49\r\n"))
	if _, _, err := d.next(); err == nil {
		t.Error("a PROXY header from an unlisted address is taken")
	}
}

// secureRig is a server that answers within TLS as well.
func secureRig(t *testing.T) (*rig, func(serial string) *tls.Config) {
	t.Helper()
	a := newAuthority(t)
	r := newRig(t, func(c *Config) { c.Secure, c.TLS = []string{"127.0.0.1:0"}, a.server() })
	return r, func(name string) *tls.Config { return a.device(t, name) }
}

func (r *rig) dialTLS(config *tls.Config) *device {
	r.t.Helper()
	conn, err := tls.Dial("tcp", r.server.SecureAddr(0).String(), config)
	if err != nil {
		r.t.Fatal(err)
	}
	return newDevice(r.t, conn, "")
}

// TestRFC9887_4_WithinTLSEveryPacketIsInClearAndSaysSo logs in within TLS.
func TestRFC9887_4_WithinTLSEveryPacketIsInClearAndSaysSo(t *testing.T) {
	r, device := secureRig(t)
	d := r.dialTLS(device("switch.example.com"))
	d.flags = wire.SingleConnect
	d.start(1, wire.AuthenStart{Type: wire.TypeASCII})
	d.reply(1, wire.AuthenGetUser) // read holds the flag against this
	d.say(1, 3, "alice")
	d.reply(1, wire.AuthenGetPass)
	d.say(1, 5, "wonderland")
	d.reply(1, wire.AuthenPass)
	d.account(2, wire.AcctStart, "alice", "task_id=2")
	d.acct(2, wire.AcctSuccess)
}

// TestRFC9887_4_AnObfuscatedPacketWithinTLSIsAnError leaves the flag out.
func TestRFC9887_4_AnObfuscatedPacketWithinTLSIsAnError(t *testing.T) {
	r, device := secureRig(t)
	d := r.dialTLS(device("switch.example.com"))
	d.secret, _ = wire.NewSecret([]byte("testing123"))
	d.start(1, wire.AuthenStart{Type: wire.TypePAP, User: []byte("alice"), Data: []byte("wonderland")})
	d.secret = nil
	d.reply(1, wire.AuthenError) // with the flag
	d.ended()
	if n := r.dropped("obfuscated"); n != 1 {
		t.Errorf("%d are counted", n)
	}
}

func TestCertificateNamesTellDevicesApart(t *testing.T) {
	r, device := secureRig(t)
	r.house.Put(coreDocument(`, certificateNames: [switch.example.com, "192.0.2.8"]`))
	d := r.dialTLS(device("SWITCH.example.com"))
	d.start(1, wire.AuthenStart{Type: wire.TypePAP, User: []byte("alice"), Data: []byte("wonderland")})
	d.reply(1, wire.AuthenPass)
	d = r.dialTLS(device("router.example.com"))
	d.start(1, wire.AuthenStart{Type: wire.TypePAP, User: []byte("alice"), Data: []byte("wonderland")})
	d.ended()
	if n := r.dropped("certificate_name"); n != 1 {
		t.Errorf("%d are counted", n)
	}
}
