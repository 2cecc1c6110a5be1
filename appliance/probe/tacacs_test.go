package probe

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"trine/protocols/tacacs/wire"
)

// desk is a TACACS+ server whose answers a test writes: it turns what comes into text, and text into what it answers.
type desk struct {
	t      *testing.T
	addr   string
	key    *wire.Secret // nil: within TLS
	agrees bool         // to carry many sessions on a connection
	answer func(heard string) string

	mu    sync.Mutex
	heard []string
	lines int // connections
}

// newDesk starts a server for the time of the test. An answer is a status, and behind a colon a message or behind blanks arguments; "silence" is none,
// and "close" ends the connection.
func newDesk(t *testing.T, change func(*desk, *net.Listener), answer func(heard string) string) *desk {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, addr: l.Addr().String(), answer: answer}
	if d.key, err = wire.NewSecret([]byte(sharedSecret)); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(d, &l)
	}
	var open sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		open.Wait()
	})
	open.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			d.mu.Lock()
			d.lines++
			d.mu.Unlock()
			open.Go(func() {
				defer conn.Close()
				d.serve(conn)
			})
		}
	})
	return d
}

func (d *desk) serve(conn net.Conn) {
	var b wire.Builder
	for first := true; ; first = false {
		p := make([]byte, wire.HeaderLen)
		if _, err := io.ReadFull(conn, p); err != nil {
			return
		}
		h, f := wire.ParseHeader(p, 1000, 0)
		if f == wire.OK {
			f = h.Check(d.key == nil)
		}
		p = append(p, make([]byte, h.Length)...)
		if _, err := io.ReadFull(conn, p[wire.HeaderLen:]); err != nil || f != wire.OK {
			d.t.Errorf("%v, %v", err, f)
			return
		}
		if d.key != nil {
			d.key.Obfuscate(p)
		}
		heard := tell(d.t, &h, p[wire.HeaderLen:])
		d.mu.Lock()
		d.heard = append(d.heard, heard)
		d.mu.Unlock()
		answer := d.answer(heard)
		switch answer {
		case "close":
			return
		case "silence":
			_, _ = io.Copy(io.Discard, conn)
			return
		}
		header := h.Answer()
		header.Seq = h.Seq + 1
		if first && d.agrees && h.Flags&wire.SingleConnect != 0 {
			header.Flags = wire.SingleConnect
		}
		say(d.t, &b, header, answer)
		out, f := b.Finish(d.key)
		if f != wire.OK {
			d.t.Errorf("%q: %v", answer, f)
			return
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

// tell turns a request into text.
func tell(t *testing.T, h *wire.Header, body []byte) string {
	args := func(a wire.Args) (text string) {
		for arg := range a.Raw() {
			text += " " + string(arg)
		}
		return text
	}
	about := func(r *wire.AuthorRequest) string {
		return fmt.Sprintf("%s/%s/%s level %d %s@%s/%s:%s", r.Method, r.Type, r.Service, r.PrivLvl, r.User, r.Port, r.RemAddr, args(r.Args))
	}
	var f wire.Fault
	defer func() {
		if f != wire.OK {
			t.Errorf("the request does not parse: %v", f)
		}
	}()
	switch h.Kind() {
	case wire.KindAuthenStart:
		var s wire.AuthenStart
		if f = wire.ParseAuthenStart(h, body, 0, &s); s.Type == wire.TypeCHAP {
			id, challenge, response, fault := s.Challenge()
			sum := md5.Sum(append(append([]byte{id}, password...), challenge...))
			s.Data = fmt.Append(nil, fault == wire.OK && string(sum[:]) == string(response))
		}
		return fmt.Sprintf("%s/%s/%s level %d %s@%s/%s: %s", s.Action, s.Type, s.Service, s.PrivLvl, s.User, s.Port, s.RemAddr, s.Data)
	case wire.KindAuthenContinue:
		var c wire.AuthenContinue
		if f = wire.ParseAuthenContinue(body, 0, &c); c.Abort {
			return "abort"
		}
		return "typed " + string(c.UserMsg)
	case wire.KindAuthorRequest:
		var r wire.AuthorRequest
		f = wire.ParseAuthorRequest(body, 0, &r)
		return "may " + about(&r)
	}
	var r wire.AcctRequest
	f = wire.ParseAcctRequest(body, 0, &r)
	return r.Flags.String() + " " + about(&r.AuthorRequest)
}

// say turns text into an answer.
func say(t *testing.T, b *wire.Builder, h wire.Header, answer string) {
	buf := make([]byte, 0, 4096)
	status, message, _ := strings.Cut(answer, ":")
	words := strings.Fields(status)
	switch h.Type {
	case wire.Authentication:
		for s := wire.AuthenPass; s <= wire.AuthenError; s++ {
			if s.String() == words[0] {
				b.AuthenReply(buf, h, s, s == wire.AuthenGetPass || s == wire.AuthenGetData)
				b.ServerMsg(message)
				return
			}
		}
	case wire.Authorization:
		for _, s := range []wire.AuthorStatus{wire.AuthorPassAdd, wire.AuthorPassRepl, wire.AuthorFail, wire.AuthorError} {
			if s.String() == words[0] {
				b.AuthorResponse(buf, h, s)
				b.ServerMsg(message)
				for _, arg := range words[1:] {
					b.Arg([]byte(arg))
				}
				return
			}
		}
	default:
		for _, s := range []wire.AcctStatus{wire.AcctSuccess, wire.AcctError} {
			if s.String() == words[0] {
				b.AcctReply(buf, h, s)
				b.ServerMsg(message)
				return
			}
		}
	}
	t.Errorf("there is no answer %q", answer)
}

// script answers each request with what is written for it, by how it begins.
func script(t *testing.T, lines ...string) func(string) string {
	return func(heard string) string {
		for i := 0; i+1 < len(lines); i += 2 {
			if strings.HasPrefix(heard, lines[i]) {
				return lines[i+1]
			}
		}
		t.Errorf("unexpected: %q", heard)
		return "close"
	}
}

func (d *desk) visit(change func(*Visit)) (*Visited, error) {
	v := Visit{Server: d.addr, Secret: sharedSecret, User: "alice", Password: password, Enable: NoLevel, Timeout: 5 * time.Second}
	if change != nil {
		change(&v)
	}
	return v.Do(d.t.Context())
}

// summary is what came of a visit, an exchange a line.
func summary(v *Visited) string {
	var lines []string
	for _, x := range v.Exchanges {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s: %s %t %s %s %s", x.Request, x.Status, x.Passed, strings.Join(x.Questions, "|"), x.Message, strings.Join(x.Arguments, " "))))
	}
	return strings.Join(lines, "\n")
}

func TestEachTacacsMethodProvesThePassword(t *testing.T) {
	for method, lines := range map[string][]string{
		MethodASCII: {"login/ascii/login level 1 alice@tty7/192.0.2.9: ", "GETUSER:Username: ", "typed alice", "GETPASS:Password: ", "typed wonderland", "PASS:Welcome"},
		MethodPAP:   {"login/pap/login level 1 alice@tty7/192.0.2.9: wonderland", "PASS:Welcome"},
		MethodCHAP:  {"login/chap/login level 1 alice@tty7/192.0.2.9: true", "PASS:Welcome"},
	} {
		d := newDesk(t, nil, script(t, lines...))
		v, err := d.visit(func(v *Visit) { v.Method, v.Port, v.RemoteAddress = method, "tty7", "192.0.2.9" })
		if err != nil || !v.Passed || len(v.Exchanges) != 1 || v.Exchanges[0].Message != "Welcome" || len(d.heard) != len(lines)/2 {
			t.Errorf("%s: %+v, %v", method, v, err)
		}
		d = newDesk(t, nil, script(t, "login/ascii", "GETPASS:", "login/chap/login level 1 alice@trine/: false", "FAIL", "login/pap", "FAIL", "typed x", "FAIL"))
		v, err = d.visit(func(v *Visit) { v.Method, v.Password, v.Services = method, "x", []string{"shell"} })
		if err != nil || v.Passed || !strings.HasPrefix(summary(v), "login: FAIL false") || len(v.Exchanges) != 1 {
			t.Errorf("%s: a login that fails does not end it: %+v, %v", method, v, err)
		}
	}
}

func TestPersonIsAskedForWhatIsNotKnown(t *testing.T) {
	lines := []string{"login/ascii", "GETPASS:Password: ", "typed wonderland", "GETDATA:Code: ", "typed 123456", "GETPASS:New password: ", "typed fresh", "PASS"}
	var asked []string
	d := newDesk(t, nil, script(t, lines...))
	v, err := d.visit(func(v *Visit) {
		v.Ask = func(question string, hidden bool) (string, error) {
			asked = append(asked, fmt.Sprint(question, hidden))
			return map[string]string{"Code: ": "123456", "New password: ": "fresh"}[question], nil
		}
	})
	if err != nil || summary(v) != "login: PASS true Password: |Code: |New password:" || !slices.Equal(asked, []string{"Code: true", "New password: true"}) {
		t.Errorf("%q, %q, %v", summary(v), asked, err)
	}
	// Where nobody is there, the server is told that the login is given up.
	d = newDesk(t, nil, script(t, append(lines, "abort", "close")...))
	if v, err := d.visit(nil); !errors.Is(err, ErrQuestion) || v.Passed || len(v.Exchanges) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		d.mu.Lock()
		last := d.heard[len(d.heard)-1]
		d.mu.Unlock()
		if last == "abort" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("heard %q last", last)
		}
	}
}

func TestVisitAsksForEverythingInOrder(t *testing.T) {
	answers := []string{
		"login/ascii/login level 1", "GETPASS:Password: ", "login/ascii/enable level 15 alice", "GETPASS:Enable: ", "typed wonderland", "PASS", "typed root", "PASS",
		"may tacacs+/ascii/login level 15 alice@trine/: service=shell cmd=show cmd-arg=version cmd-arg=<cr>", "PASS_ADD",
		"may tacacs+/ascii/login level 15 alice@trine/: service=shell cmd=reload cmd-arg=<cr>", "FAIL:No.",
		"may tacacs+/ascii/login level 15 alice@trine/: service=shell cmd= x*1", "PASS_ADD priv-lvl=15 timeout*5",
		"may tacacs+/ascii/login level 15 alice@trine/: service=ppp x*1", "PASS_REPL",
		"start tacacs+/ascii/login level 15 alice@trine/: task_id=", "SUCCESS", "stop tacacs+/ascii/login level 15 alice@trine/: task_id=", "ERROR:Full.",
	}
	want := strings.Join([]string{
		"login: PASS true Password:", "enable 15: PASS true Enable:", "start: SUCCESS true", "service shell: PASS_ADD true   priv-lvl=15 timeout*5",
		"service ppp: PASS_REPL true", "command show version: PASS_ADD true", "command reload: FAIL false  No.", "stop: ERROR false  Full.",
	}, "\n")
	for _, agrees := range []bool{true, false} {
		d := newDesk(t, func(d *desk, _ *net.Listener) { d.agrees = agrees }, script(t, answers...))
		v, err := d.visit(func(v *Visit) {
			v.Enable, v.EnablePassword, v.Account, v.SingleConnect = 15, "root", true, true
			v.Services, v.Arguments, v.Commands = []string{"shell", "ppp"}, []string{"x*1"}, []string{"show  version", "reload"}
		})
		if err != nil || v.Passed {
			t.Fatalf("%+v, %v", v, err)
		}
		if got := strings.ReplaceAll(summary(v), "show  version", "show version"); got != want {
			t.Errorf("found\n%s\nwant\n%s", got, want)
		}
		lines := 8
		if agrees {
			lines = 1
		}
		if v.SingleConnect != agrees || v.Connections != lines || d.lines != lines {
			t.Errorf("agreed %t: %d connections, %d by the server, %t", agrees, v.Connections, d.lines, v.SingleConnect)
		}
		var tasks, times int
		for _, heard := range d.heard {
			_, rest, ok := strings.Cut(heard, "task_id=")
			if id, _, _ := strings.Cut(rest, " "); ok && len(id) == 8 {
				tasks++
			}
			if strings.HasPrefix(heard, "stop") && strings.Contains(heard, " start_time=") && strings.Contains(heard, " stop_time=") && strings.Contains(heard, " elapsed_time=") {
				times++
			}
		}
		if tasks != 2 || times != 1 {
			t.Errorf("records are %q", d.heard)
		}
	}
}

func TestVisitWithoutALoginAsksAtOnce(t *testing.T) {
	d := newDesk(t, nil, script(t, "may not-set/not-set/login level 1 alice@trine/: service=junos-exec", "PASS_ADD local-user-name=admin"))
	v, err := d.visit(func(v *Visit) { v.Method, v.Services = MethodNone, []string{"junos-exec"} })
	if err != nil || !v.Passed || summary(v) != "service junos-exec: PASS_ADD true   local-user-name=admin" {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestNoAnswerIsToldByItsCause(t *testing.T) {
	other, err := wire.NewSecret([]byte("other"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		answer string
		change func(*desk, *net.Listener)
		visit  func(*Visit)
		want   error
	}{
		"it closes":              {answer: "close", want: ErrClosed},
		"it is silent":           {answer: "silence", visit: func(v *Visit) { v.Timeout = 20 * time.Millisecond }, want: ErrUnanswered},
		"an unknown method":      {visit: func(v *Visit) { v.Method = "mschapv2" }, want: ErrTacacsMethod},
		"no secret":              {visit: func(v *Visit) { v.Secret = "" }, want: errEmptyTacacsSecret},
		"its secret is another":  {answer: "ERROR", want: ErrGarbled},
		"nobody is at the other": {answer: "GETDATA:What?", visit: func(v *Visit) { v.Ask = func(string, bool) (string, error) { return "", context.Canceled } }, want: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, c.change, func(heard string) string {
				if heard == "abort" {
					return "close"
				}
				return c.answer
			})
			v := Visit{Server: d.addr, Secret: sharedSecret, User: "alice", Password: password, Method: MethodASCII, Enable: NoLevel}
			if c.visit != nil {
				c.visit(&v)
			}
			if c.want == ErrGarbled {
				// What it takes the request's obfuscation off with is right, so that it can answer under another.
				relay := relayUnder(t, d, other)
				v.Server = relay
			}
			if found, err := v.Do(t.Context()); !errors.Is(err, c.want) || found != nil && found.Passed {
				t.Errorf("%+v, %v", found, err)
			}
		})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if _, err := (Visit{Server: l.Addr().String(), Secret: "s", User: "u", Enable: NoLevel}).Do(t.Context()); err == nil || !strings.Contains(err.Error(), "no server listens on "+l.Addr().String()) {
		t.Errorf("error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Visit{Server: l.Addr().String(), Secret: "s", User: "u", Enable: NoLevel}).Do(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// relayUnder passes one packet to a server, and its answer back under another secret.
func relayUnder(t *testing.T, d *desk, other *wire.Secret) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		done.Wait()
	})
	done.Go(func() {
		near, err := l.Accept()
		if err != nil {
			return
		}
		defer near.Close()
		far, err := net.Dial("tcp", d.addr)
		if err != nil {
			t.Error(err)
			return
		}
		defer far.Close()
		go func() { _, _ = io.Copy(far, near) }()
		p := make([]byte, 4096)
		n, err := io.ReadAtLeast(far, p, wire.HeaderLen+1)
		if err != nil {
			t.Error(err)
			return
		}
		d.key.Obfuscate(p[:n])
		other.Obfuscate(p[:n])
		_, _ = near.Write(p[:n])
		_, _ = io.Copy(io.Discard, near)
	})
	return l.Addr().String()
}

// certified writes a certificate for 127.0.0.1 that vouches for itself, with its key.
func certified(t *testing.T) (certificate, key string, pair tls.Certificate) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if pair, err = tls.LoadX509KeyPair(certificate, key); err != nil {
		t.Fatal(err)
	}
	return certificate, key, pair
}

func TestPacketsWithinTLSAreInClearAndSaySo(t *testing.T) {
	certificate, key, pair := certified(t)
	pool := x509.NewCertPool()
	pool.AddCert(pair.Leaf)
	secure := func(d *desk, l *net.Listener) {
		d.key, d.agrees = nil, true
		*l = tls.NewListener(*l, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})
	}
	d := newDesk(t, secure, script(t, "login/ascii/login level 1 alice@trine/: ", "GETPASS:Password: ", "typed wonderland", "PASS", "may", "PASS_ADD priv-lvl=15"))
	v, err := d.visit(func(v *Visit) {
		v.Secret, v.TLS, v.SingleConnect, v.Services = "", &DeviceTLS{Certificate: certificate, Key: key, Authorities: certificate}, true, []string{"shell"}
	})
	if err != nil || !v.Passed || !v.SingleConnect || v.Connections != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	for name, files := range map[string]DeviceTLS{
		"no certificate of the device": {Authorities: certificate},
		"a server that is not known":   {Certificate: certificate, Key: key},
		"another name":                 {Certificate: certificate, Key: key, Authorities: certificate, ServerName: "aaa.example.com"},
		"no such file":                 {Certificate: certificate, Key: key, Authorities: "nowhere.pem"},
		"no certificate in the file":   {Certificate: certificate, Key: key, Authorities: key},
	} {
		if v, err := d.visit(func(v *Visit) { v.TLS = &files }); err == nil || v != nil && v.Passed {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
	// An answer that does not say that it is in clear is refused, RFC 9887 section 4.
	d = newDesk(t, func(d *desk, l *net.Listener) {
		secure(d, l)
		*l = flagless{*l}
	}, script(t, "login", "GETPASS:"))
	if v, err := d.visit(func(v *Visit) { v.TLS = &DeviceTLS{Certificate: certificate, Key: key, Authorities: certificate} }); !errors.Is(err, ErrGarbled) || !errors.Is(err, wire.Obfuscated) {
		t.Errorf("%+v, %v", v, err)
	}
}

// flagless is a listener whose connections send packets without flags.
type flagless struct{ net.Listener }

func (f flagless) Accept() (net.Conn, error) {
	c, err := f.Listener.Accept()
	return flaglessConn{c}, err
}

type flaglessConn struct{ net.Conn }

func (f flaglessConn) Write(p []byte) (int, error) {
	p = slices.Clone(p)
	p[3] = 0
	return f.Conn.Write(p)
}
