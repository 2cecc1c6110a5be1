package node

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nwaples/tacplus"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
	"trine/engine/credential/chap"
	"trine/engine/credential/otp"
	"trine/protocols/tacacs/wire"
)

// plus is a device made of nwaples/tacplus.
type plus struct {
	t *testing.T
	tacplus.Client
	lines atomic.Int64 // connections that it made
}

// newPlus returns a device; single has it offer to carry everything on one connection.
func newPlus(t *testing.T, to string, single bool) *plus {
	p := &plus{t: t}
	p.Addr, p.ConnConfig = to, tacplus.ConnConfig{Secret: []byte("testing123"), Mux: single, Log: func(...any) {}}
	p.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		p.lines.Add(1)
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	t.Cleanup(p.Close)
	return p
}

// begin sends a START.
func (p *plus) begin(s tacplus.AuthenStart) (*tacplus.AuthenReply, *tacplus.ClientSession) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	if s.Action == 0 {
		s.Action = tacplus.AuthenActionLogin
	}
	if s.AuthenService == 0 {
		s.AuthenService = tacplus.AuthenServiceLogin
	}
	s.Port, s.RemAddr = "tty1", "192.0.2.9"
	reply, session, err := p.SendAuthenStart(ctx, &s)
	if err != nil {
		p.t.Fatal(err)
	}
	return reply, session
}

// typed answers what is asked for, and returns what came of it and the questions on the way.
func (p *plus) typed(reply *tacplus.AuthenReply, session *tacplus.ClientSession, said ...string) (status wire.AuthenStatus, questions string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	var asked []string
	for _, text := range said {
		if session == nil {
			p.t.Fatalf("after %q nothing is asked: %+v", asked, reply)
		}
		asked = append(asked, fmt.Sprintf("%s%t %s", wire.AuthenStatus(reply.Status), reply.NoEcho, reply.ServerMsg))
		var err error
		if reply, err = session.Continue(ctx, text); err != nil {
			p.t.Fatal(err)
		}
	}
	return wire.AuthenStatus(reply.Status), strings.Join(asked, "|")
}

// ascii logs in as somebody whose name the device knows.
func (p *plus) ascii(user string, said ...string) wire.AuthenStatus {
	p.t.Helper()
	reply, session := p.begin(tacplus.AuthenStart{AuthenType: tacplus.AuthenTypeASCII, PrivLvl: 1, User: user})
	status, _ := p.typed(reply, session, said...)
	return status
}

// at once logs in with a proof in the START.
func (p *plus) proving(user string, kind uint8, data []byte) wire.AuthenStatus {
	p.t.Helper()
	reply, _ := p.begin(tacplus.AuthenStart{AuthenType: kind, PrivLvl: 1, User: user, Data: data})
	return wire.AuthenStatus(reply.Status)
}

// may asks for an authorization.
func (p *plus) may(user string, args ...string) (wire.AuthorStatus, []string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	r, err := p.SendAuthorRequest(ctx, &tacplus.AuthorRequest{
		AuthenMethod: tacplus.AuthenMethodTACACSPlus, PrivLvl: 1, AuthenType: tacplus.AuthenTypeASCII, AuthenService: tacplus.AuthenServiceLogin,
		User: user, Port: "tty1", RemAddr: "192.0.2.9", Arg: args,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return wire.AuthorStatus(r.Status), r.Arg
}

// account sends a record.
func (p *plus) account(ctx context.Context, flags uint8, user string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := p.SendAcctRequest(ctx, &tacplus.AcctRequest{
		Flags: flags, AuthenMethod: tacplus.AuthenMethodTACACSPlus, PrivLvl: 1, AuthenType: tacplus.AuthenTypeASCII, AuthenService: tacplus.AuthenServiceLogin,
		User: user, Port: "tty1", RemAddr: "192.0.2.9", Arg: args,
	})
	if err == nil && r.Status != tacplus.AcctStatusSuccess {
		err = fmt.Errorf("the answer is %v %q", wire.AcctStatus(r.Status), r.ServerMsg)
	}
	return err
}

// metrics returns what the node tells who scrapes it.
func (n *interop) metrics() string {
	n.t.Helper()
	web := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer web.CloseIdleConnections()
	answer, err := web.Get("https://" + n.addr.Management + "/metrics")
	if err != nil {
		n.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return string(text)
}

// chapProof proves a password by CHAP, RFC 8907 section 5.4.2.3.
func chapProof(password string) []byte {
	data := make([]byte, 17)
	_, _ = rand.Read(data)
	sum := md5.Sum(append(append([]byte{data[0]}, password...), data[1:]...))
	return append(data, sum[:]...)
}

// mschapProof proves a password by MS-CHAP, RFC 8907 section 5.4.2.4.
func mschapProof(t *testing.T, password string) []byte {
	t.Helper()
	hash, ok := chap.NTHash([]byte(password))
	if !ok {
		t.Fatal("there is no NT hash")
	}
	var challenge [8]byte
	_, _ = rand.Read(challenge[:])
	response := chap.ChallengeResponse(&hash, &challenge)
	data := append([]byte{7}, challenge[:]...)
	data = append(append(data, make([]byte, 24)...), response[:]...)
	return append(data, 1) // the NT response counts
}

// tacacsMSCHAP switches MS-CHAP version 1 on, which is off otherwise.
const tacacsMSCHAP = `
kind: IdentityProvider
name: local
spec: {type: local, publicID: "https://trine.example.com", profiles: {radius: {enabled: true}, tacacs: {enabled: true, mschapv1: true}}}
`

func TestTacplusIsAnsweredWithEveryAuthenticationType(t *testing.T) {
	t.Parallel()
	n := startInterop(t, tacacsMSCHAP)
	for _, single := range []bool{false, true} {
		p := newPlus(t, n.addr.Tacacs[0], single)
		reply, session := p.begin(tacplus.AuthenStart{AuthenType: tacplus.AuthenTypeASCII, PrivLvl: 1})
		if status, asked := p.typed(reply, session, "alice", "wonderland"); status != wire.AuthenPass || asked != "GETUSERfalse Username: |GETPASStrue Password: " {
			t.Errorf("ASCII in all its rounds: %v after %q", status, asked)
		}
		for user, password := range map[string]string{"alice": "wonderland", "bob": "builder"} {
			for given, want := range map[string]wire.AuthenStatus{password: wire.AuthenPass, "looking-glass": wire.AuthenFail} {
				for name, got := range map[string]wire.AuthenStatus{
					"ASCII":   p.ascii(user, given),
					"PAP":     p.proving(user, tacplus.AuthenTypePAP, []byte(given)),
					"CHAP":    p.proving(user, tacplus.AuthenTypeCHAP, chapProof(given)),
					"MS-CHAP": p.proving(user, tacplus.AuthenTypeMSCHAP, mschapProof(t, given)),
				} {
					if got != want {
						t.Errorf("%s by %s with %s: %v, want %v", user, name, given, got, want)
					}
				}
			}
		}
		if got := p.ascii("mallory", "x"); got != wire.AuthenFail {
			t.Errorf("somebody unknown: %v", got)
		}
		reply, session = p.begin(tacplus.AuthenStart{AuthenType: tacplus.AuthenTypeASCII, PrivLvl: 1, User: "alice"})
		if reply.Status != tacplus.AuthenStatusGetPass {
			t.Errorf("found %+v", reply)
		}
		if err := session.Abort(t.Context(), "given up"); err != nil {
			t.Error(err)
		}
		if reply, _ = p.begin(tacplus.AuthenStart{Action: tacplus.AuthenActionSendAuth, AuthenType: tacplus.AuthenTypePAP, PrivLvl: 1, User: "alice"}); reply.Status != tacplus.AuthenStatusFail {
			t.Errorf("SENDAUTH: %+v", reply)
		}
		if single && p.lines.Load() != 1 {
			t.Errorf("%d connections", p.lines.Load())
		}
	}
}

func TestTacplusIsAuthorizedByLevelCommandAndService(t *testing.T) {
	t.Parallel()
	n := startInterop(t)
	p := newPlus(t, n.addr.Tacacs[0], true)
	for _, c := range []struct {
		user string
		args string
		want wire.AuthorStatus
		gets string
	}{
		{"alice", "service=shell cmd=", wire.AuthorPassAdd, "priv-lvl=15"},
		{"bob", "service=shell cmd=", wire.AuthorPassAdd, "priv-lvl=1"},
		{"bob", "service=shell cmd= priv-lvl*15", wire.AuthorPassRepl, "service=shell cmd= priv-lvl=1"},
		{"mallory", "service=shell cmd=", wire.AuthorFail, ""},
		{"alice", "service=junos-exec", wire.AuthorPassAdd, "local-user-name=admin"},
		{"bob", "service=junos-exec", wire.AuthorPassAdd, "local-user-name=reader"},
		{"alice", "service=ppp protocol=ip", wire.AuthorFail, ""},
		{"alice", "service=shell cmd=reload cmd-arg=<cr>", wire.AuthorPassAdd, ""},
		{"alice", "service=shell cmd=erase cmd-arg=startup-config cmd-arg=<cr>", wire.AuthorFail, ""},
		{"bob", "service=shell cmd=show cmd-arg=version cmd-arg=<cr>", wire.AuthorPassAdd, ""},
		{"bob", "service=shell cmd=SHOW cmd-arg=version cmd-arg=<cr>", wire.AuthorFail, ""},
		{"bob", "service=shell cmd=reload cmd-arg=<cr>", wire.AuthorFail, ""},
		{"bob", "service=shell cmd=exit cmd-arg=<cr>", wire.AuthorPassAdd, ""},
	} {
		if status, args := p.may(c.user, strings.Fields(c.args)...); status != c.want || strings.Join(args, " ") != c.gets {
			t.Errorf("%s asks for %s: %v %q, want %v %q", c.user, c.args, status, args, c.want, c.gets)
		}
	}
	if p.lines.Load() != 1 {
		t.Errorf("%d connections", p.lines.Load())
	}
}

// TestTacplusHasManySessionsUnderWayOnOneConnection lets logins wait for their passwords while others, authorizations and accounting go past them.
func TestTacplusHasManySessionsUnderWayOnOneConnection(t *testing.T) {
	t.Parallel()
	n := startInterop(t)
	p := newPlus(t, n.addr.Tacacs[0], true)
	type open struct {
		reply   *tacplus.AuthenReply
		session *tacplus.ClientSession
	}
	var waiting []open
	if p.ascii("alice", "wonderland") != wire.AuthenPass { // the first exchange agrees on it
		t.Fatal("the login failed")
	}
	for range 20 {
		reply, session := p.begin(tacplus.AuthenStart{AuthenType: tacplus.AuthenTypeASCII, PrivLvl: 1, User: "alice"})
		waiting = append(waiting, open{reply, session})
	}
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			if got := p.proving("alice", tacplus.AuthenTypePAP, []byte("wonderland")); got != wire.AuthenPass {
				t.Errorf("PAP: %v", got)
			}
			if status, _ := p.may("bob", "service=shell", "cmd=show", "cmd-arg=clock", "cmd-arg=<cr>"); status != wire.AuthorPassAdd {
				t.Errorf("show clock: %v", status)
			}
			for _, flags := range []uint8{tacplus.AcctFlagStart, tacplus.AcctFlagStop} {
				if err := p.account(t.Context(), flags, "bob", fmt.Sprintf("task_id=%d", i), "service=shell"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	slices.Reverse(waiting)
	for i, w := range waiting {
		password, want := "wonderland", wire.AuthenPass
		if i%4 == 3 {
			password, want = "looking-glass", wire.AuthenFail
		}
		if got, _ := p.typed(w.reply, w.session, password); got != want {
			t.Errorf("login %d: %v", i, got)
		}
	}
	if p.lines.Load() != 1 {
		t.Errorf("%d connections", p.lines.Load())
	}
}

// TestTacplusIsToldAsItHappened looks at what the administration tells of decisions, commands and sessions.
func TestTacplusIsToldAsItHappened(t *testing.T) {
	t.Parallel()
	n := startInterop(t)
	p := newPlus(t, n.addr.Tacacs[0], true)
	last := ""
	told := func(user string, want ...string) {
		t.Helper()
		e := n.after(&last, user)
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range append(want, `"protocol":"tacacs"`, `"client":"lab"`, `"port":"tty1"`, `"calling":"192.0.2.9"`, `"source":"127.0.0.1"`) {
			if !strings.Contains(string(text), w) {
				t.Errorf("the explanation does not hold %s: %s", w, text)
			}
		}
		if strings.Contains(string(text), "wonderland") {
			t.Errorf("the explanation holds a password: %s", text)
		}
	}
	p.ascii("alice", "looking-glass")
	told("alice", `"verdict":"reject"`, `"reason":"password.wrong"`, `"method":"ascii"`)
	p.proving("bob", tacplus.AuthenTypePAP, []byte("builder"))
	told("bob", `"verdict":"accept"`, `"method":"pap"`, `"privilege":1`)
	reply, session := p.begin(tacplus.AuthenStart{AuthenType: tacplus.AuthenTypeASCII, AuthenService: tacplus.AuthenServiceEnable, PrivLvl: 15, User: "bob"})
	p.typed(reply, session, "builder")
	told("bob", `"kind":"enable"`, `"verdict":"reject"`, `"reason":"tacacs.enable.level"`, `"level":15`, `"privilege":1`)
	p.may("bob", "service=shell", "cmd=reload", "cmd-arg=in", "cmd-arg=5", "cmd-arg=<cr>")
	told("bob", `"kind":"authorization"`, `"reason":"tacacs.command.denied"`, `"service":"shell"`, `"command":"reload in 5"`, `"level":1`, `"privilege":1`)
	p.may("alice", "service=junos-exec")
	told("alice", `"kind":"authorization"`, `"verdict":"accept"`, `"service":"junos-exec"`, `"privilege":15`)

	// A session, within it a command, and its end.
	for _, r := range []struct {
		flags uint8
		args  []string
	}{
		{tacplus.AcctFlagStart, []string{"task_id=17", "start_time=1790000000", "service=shell"}},
		{tacplus.AcctFlagWatchdog | tacplus.AcctFlagStart, []string{"task_id=17", "service=shell", "elapsed_time=60", "bytes_in=1000", "bytes_out=2000"}},
		{tacplus.AcctFlagStop, []string{"task_id=18", "service=shell", "priv-lvl=15", "cmd=show", "cmd-arg=version", "cmd-arg=<cr>"}},
	} {
		if err := p.account(t.Context(), r.flags, "alice", r.args...); err != nil {
			t.Fatal(err)
		}
	}
	list, err := n.admin.Sessions(t.Context(), client.SessionQuery{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Sessions) != 1 || list.Sessions[0].User != "alice" || list.Sessions[0].Client != "lab" {
		t.Errorf("sessions are %+v", list.Sessions)
	}
	if err := p.account(t.Context(), tacplus.AcctFlagStop, "alice", "task_id=17", "service=shell", "elapsed_time=61"); err != nil {
		t.Fatal(err)
	}
	if list, err = n.admin.Sessions(t.Context(), client.SessionQuery{}); err != nil || len(list.Sessions) != 0 {
		t.Errorf("sessions are %+v, %v", list, err)
	}
	page, err := n.admin.Events(t.Context(), client.EventQuery{Classes: []string{"accounting"}, Limit: 10})
	if err != nil || len(page.Events) != 4 {
		t.Fatalf("%d records, %v", len(page.Events), err)
	}
	if body := string(page.Events[2].Body); !strings.Contains(body, `"command":"show version"`) || !strings.Contains(body, `priv-lvl=15`) {
		t.Errorf("the record of a command is %s", body)
	}
	metrics := n.metrics()
	for _, want := range []string{
		`trine_tacacs_answers_total{result="recorded"} 4`, `trine_tacacs_answers_total{result="denied"} 1`, `trine_tacacs_answers_total{result="permitted"} 1`,
		`trine_tacacs_answers_total{result="pass"} 1`, `trine_tacacs_answers_total{result="fail"} 2`, `trine_tacacs_single_connect_total 1`,
		`trine_tacacs_connections 1`, `trine_tacacs_request_duration_seconds_count{kind="accounting",method=""} 4`,
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("the metrics do not hold %s", want)
		}
	}
	if t.Failed() {
		for line := range strings.Lines(metrics) {
			if strings.HasPrefix(line, "trine_tacacs") && !strings.Contains(line, "bucket") {
				t.Log(strings.TrimSpace(line))
			}
		}
	}
}

// TestTacplusAnswersASecondFactor has a one-time password asked for in a further round, and enable after it.
func TestTacplusAnswersASecondFactor(t *testing.T) {
	t.Parallel()
	n := startInterop(t, strings.ReplaceAll(twoFactors, "{radius: {enabled: true}}", "{radius: {enabled: true}, tacacs: {enabled: true}}"))
	e, err := n.admin.AddFactor(t.Context(), "alice", api.FactorRequest{Kind: "otp", Label: "telephone"})
	if err != nil {
		t.Fatal(err)
	}
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(e.Secret)
	if err != nil {
		t.Fatal(err)
	}
	device, err := otp.FromKey(otp.DefaultParams(), key)
	if err != nil {
		t.Fatal(err)
	}
	p := newPlus(t, n.addr.Tacacs[0], false)
	code := device.Code(device.Counter(time.Now()))
	reply, session := p.begin(tacplus.AuthenStart{AuthenType: tacplus.AuthenTypeASCII, PrivLvl: 1, User: "alice"})
	status, asked := p.typed(reply, session, "wonderland", code)
	if status != wire.AuthenPass || !strings.HasPrefix(asked, "GETPASStrue Password: |GETDATAtrue ") || !strings.Contains(asked, "one-time password") {
		t.Errorf("the right code: %v after %q", status, asked)
	}
	if status := p.ascii("alice", "wonderland", code); status != wire.AuthenFail {
		t.Errorf("a code was good twice: %v", status)
	}
	if status := p.ascii("alice", "looking-glass"); status != wire.AuthenFail {
		t.Errorf("a wrong password: %v", status)
	}
	if status := p.proving("alice", tacplus.AuthenTypePAP, []byte("wonderland")); status != wire.AuthenFail {
		t.Errorf("PAP, which cannot be asked: %v", status)
	}
	if status := p.ascii("bob", "builder"); status != wire.AuthenFail {
		t.Errorf("somebody without the factor: %v", status)
	}
}

func TestTacplusRisesByItsOwnPasswordOrTheSystemsSecret(t *testing.T) {
	t.Parallel()
	n := startInterop(t)
	p := newPlus(t, n.addr.Tacacs[0], true)
	enable := func(user string, level uint8, password string) wire.AuthenStatus {
		reply, session := p.begin(tacplus.AuthenStart{AuthenType: tacplus.AuthenTypeASCII, AuthenService: tacplus.AuthenServiceEnable, PrivLvl: level, User: user})
		status, _ := p.typed(reply, session, password)
		return status
	}
	for _, c := range []struct {
		user     string
		level    uint8
		password string
		want     wire.AuthenStatus
	}{{"alice", 15, "wonderland", wire.AuthenPass}, {"alice", 7, "wonderland", wire.AuthenPass}, {"alice", 15, "raise-me-Up", wire.AuthenFail}, {"bob", 15, "builder", wire.AuthenFail}, {"bob", 1, "builder", wire.AuthenPass}} {
		if got := enable(c.user, c.level, c.password); got != c.want {
			t.Errorf("%s to %d with %s: %v", c.user, c.level, c.password, got)
		}
	}
	n.apply("kind: InformationSystem\nname: lab\nspec: {enableSecret: raise-me-Up}\n")
	for _, c := range []struct {
		user     string
		password string
		want     wire.AuthenStatus
	}{{"alice", "raise-me-Up", wire.AuthenPass}, {"alice", "wonderland", wire.AuthenFail}, {"bob", "raise-me-Up", wire.AuthenFail}} {
		if got := enable(c.user, 15, c.password); got != c.want {
			t.Errorf("with a secret of the system, %s with %s: %v", c.user, c.password, got)
		}
	}
}

func TestTacplusChangesAPassword(t *testing.T) {
	t.Parallel()
	n := startInterop(t, "kind: UserType\nname: default\nspec:\n  password: {keep: [argon2id, keyed, nt, clear], minLength: 8, allowChange: true}\n")
	p := newPlus(t, n.addr.Tacacs[0], false)
	change := func(said ...string) (wire.AuthenStatus, string) {
		reply, session := p.begin(tacplus.AuthenStart{Action: tacplus.AuthenActionChangePass, AuthenType: tacplus.AuthenTypeASCII, PrivLvl: 1, User: "alice"})
		return p.typed(reply, session, said...)
	}
	if status, asked := change("wonderland", "looking-glass", "looking-glas", "short", "short", "through-it", "through-it"); status != wire.AuthenPass ||
		!strings.HasPrefix(asked, "GETDATAtrue Old password: |GETPASStrue New password: |GETPASStrue New password again: |GETPASStrue The passwords differ.") || !strings.Contains(asked, "Not taken: ") {
		t.Errorf("%v after %q", status, asked)
	}
	if status := p.ascii("alice", "wonderland"); status != wire.AuthenFail {
		t.Errorf("the old password: %v", status)
	}
	if status := p.ascii("alice", "through-it"); status != wire.AuthenPass {
		t.Errorf("the new password: %v", status)
	}
	if status, _ := change("wonderland", "another-one", "another-one"); status != wire.AuthenFail {
		t.Errorf("a change without the password: %v", status)
	}
	// Whoever has to change the password is asked for a new one when he logs in.
	if err := n.admin.SetPassword(t.Context(), "bob", "first-login", true); err != nil {
		t.Fatal(err)
	}
	reply, session := p.begin(tacplus.AuthenStart{AuthenType: tacplus.AuthenTypeASCII, PrivLvl: 1, User: "bob"})
	if status, asked := p.typed(reply, session, "first-login", "of-my-choice", "of-my-choice"); status != wire.AuthenPass || !strings.Contains(asked, "has to be changed") {
		t.Errorf("%v after %q", status, asked)
	}
	if status := p.proving("bob", tacplus.AuthenTypePAP, []byte("of-my-choice")); status != wire.AuthenPass {
		t.Errorf("the password of choice: %v", status)
	}
}

// perlLogin logs in with Debian's libauthen-tacacsplus-perl. Its CHAP has the caller compute what is sent.
const perlLogin = `
use strict;
use Authen::TacacsPlus;
use Digest::MD5 qw(md5);
my ($host, $port, $key, $type, $user, $password) = @ARGV;
my $tac = Authen::TacacsPlus->new(Host => $host, Port => $port, Key => $key, Timeout => 5) or die "connect: " . Authen::TacacsPlus::errmsg() . "\n";
my %types = (
	ascii => Authen::TacacsPlus::TAC_PLUS_AUTHEN_TYPE_ASCII(),
	pap   => Authen::TacacsPlus::TAC_PLUS_AUTHEN_TYPE_PAP(),
	chap  => Authen::TacacsPlus::TAC_PLUS_AUTHEN_TYPE_CHAP(),
);
if ($type eq 'chap') {
	my $challenge = join '', map { chr(33 + int rand 90) } 1 .. 16;
	$password = chr(9) . $challenge . md5(chr(9) . $password . $challenge);
}
print $tac->authen($user, $password, $types{$type}) ? "PASS\n" : "FAIL " . Authen::TacacsPlus::errmsg() . "\n";
$tac->close();
`

func TestPerlIsAnsweredWithEveryAuthenticationType(t *testing.T) {
	t.Parallel()
	perl, err := exec.LookPath("perl")
	if err == nil {
		err = exec.CommandContext(t.Context(), perl, "-MAuthen::TacacsPlus", "-e", "1").Run()
	}
	if err != nil {
		t.Skip("Authen::TacacsPlus is not installed (Debian: libauthen-tacacsplus-perl)")
	}
	n := startInterop(t)
	host, port, err := net.SplitHostPort(n.addr.Tacacs[0])
	if err != nil {
		t.Fatal(err)
	}
	login := func(secret, kind, user, password string) string {
		out, err := exec.CommandContext(t.Context(), perl, "-e", perlLogin, host, port, secret, kind, user, password).CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	for _, kind := range []string{"ascii", "pap", "chap"} {
		for user, password := range map[string]string{"alice": "wonderland", "bob": "builder"} {
			if got := login("testing123", kind, user, password); got != "PASS" {
				t.Errorf("%s by %s: %s", user, kind, got)
			}
			if got := login("testing123", kind, user, "looking-glass"); !strings.HasPrefix(got, "FAIL") || !strings.Contains(got, "Authentication failed") {
				t.Errorf("%s by %s with a wrong password: %s", user, kind, got)
			}
		}
		if got := login("testing123", kind, "mallory", "x"); !strings.HasPrefix(got, "FAIL") {
			t.Errorf("somebody unknown by %s: %s", kind, got)
		}
		// This client does not look at the lengths of an answer, so that it reads noise for an answer where the secrets differ: once in 256 times
		// for a PASS.
		passed := 0
		for range 3 {
			if got := login("another", kind, "alice", "wonderland"); !strings.HasPrefix(got, "FAIL") {
				passed++
			}
		}
		if passed == 3 {
			t.Errorf("another secret by %s passes", kind)
		}
	}
}
