package tacacs

import (
	"testing"

	"trine/protocols/tacacs/wire"
)

func TestASCIILoginHasRoundsForNameAndPassword(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.start(7, wire.AuthenStart{Type: wire.TypeASCII, Port: []byte("tty1"), RemAddr: []byte("192.0.2.9")})
	if a := d.reply(7, wire.AuthenGetUser); string(a.ServerMsg) != "Keep out.\nReally.\nUsername: " || a.NoEcho {
		t.Errorf("asked %q", a.ServerMsg)
	}
	d.say(7, 3, "alice")
	if a := d.reply(7, wire.AuthenGetPass); string(a.ServerMsg) != "Password: " || !a.NoEcho {
		t.Errorf("asked %q", a.ServerMsg)
	}
	d.say(7, 5, "wonderland")
	d.reply(7, wire.AuthenPass)
	d.ended() // RFC 8907 section 4.3: one session
}

func TestPAPLogin(t *testing.T) {
	r := newRig(t)
	for password, want := range map[string]wire.AuthenStatus{"wonderland": wire.AuthenPass, "looking-glass": wire.AuthenFail} {
		d := r.dial("testing123")
		d.start(9, wire.AuthenStart{Type: wire.TypePAP, User: []byte("alice"), Data: []byte(password)})
		d.reply(9, want)
		d.ended()
	}
}

func TestAuthorizationOfCommandsAndServices(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	d.authorize(1, "bob", "service=shell", "cmd=show", "cmd-arg=version", "cmd-arg=<cr>")
	d.response(1, wire.AuthorPassAdd)
	d.authorize(2, "bob", "service=shell", "cmd=reload", "cmd-arg=<cr>")
	d.response(2, wire.AuthorFail)
	d.authorize(3, "bob", "service=shell", "cmd=")
	d.response(3, wire.AuthorPassAdd, "idletime=5", "autocmd*menu", "priv-lvl=1")
	d.authorize(4, "alice", "service=shell", "cmd=")
	d.response(4, wire.AuthorPassAdd, "priv-lvl=15")
	d.authorize(5, "nemo", "service=shell", "cmd=")
	d.response(5, wire.AuthorFail)
}

func TestAccountingIsAnsweredOnceItIsCommitted(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	r.house.Hold()
	d.account(1, wire.AcctStart, "alice", "task_id=17", "start_time=1790000000", "service=shell")
	d.authorize(2, "bob", "service=shell", "cmd=show", "cmd-arg=version", "cmd-arg=<cr>")
	d.response(2, wire.AuthorPassAdd) // what needs no commit is answered meanwhile
	if s := r.server.Stats(); s.Records != 1 {
		t.Errorf("%d records wait", s.Records)
	}
	if n := r.house.Release(); n == 0 {
		t.Fatal("nothing was proposed")
	}
	d.acct(1, wire.AcctSuccess)
	if n := r.house.People.Counts().Sessions; n != 1 {
		t.Errorf("%d sessions", n)
	}
	d.account(3, wire.AcctStop, "alice", "task_id=17", "stop_time=1790000060", "elapsed_time=60", "service=shell")
	d.acct(3, wire.AcctSuccess)
	if n := r.house.People.Counts().Sessions; n != 0 {
		t.Errorf("%d sessions", n)
	}
}
