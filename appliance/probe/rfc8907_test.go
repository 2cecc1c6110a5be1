package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"trine/protocols/tacacs/wire"
)

// The tests of this file are listed in docs/rfc8907.md with the rules for clients that they show.

// overheard is a listener that writes down the packets that come to it, and changes those that go.
type overheard struct {
	net.Listener
	change func(packet []byte)

	mu   sync.Mutex
	came [][]byte
}

func (o *overheard) Accept() (net.Conn, error) {
	c, err := o.Listener.Accept()
	return &overheardConn{Conn: c, o: o}, err
}

type overheardConn struct {
	net.Conn
	o    *overheard
	rest []byte
}

func (c *overheardConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.rest = append(c.rest, p[:n]...)
	for len(c.rest) >= wire.HeaderLen {
		h, _ := wire.ParseHeader(c.rest, wire.MaxBody, 0)
		size := wire.HeaderLen + int(h.Length)
		if len(c.rest) < size {
			break
		}
		c.o.mu.Lock()
		c.o.came = append(c.o.came, slices.Clone(c.rest[:size]))
		c.o.mu.Unlock()
		c.rest = c.rest[size:]
	}
	return n, err
}

func (c *overheardConn) Write(p []byte) (int, error) {
	p = slices.Clone(p)
	if c.o.change != nil {
		c.o.change(p)
	}
	return c.Conn.Write(p)
}

// overhear has a desk's packets written down.
func overhear(o *overheard) func(*desk, *net.Listener) {
	return func(d *desk, l *net.Listener) {
		d.agrees = true
		o.Listener = *l
		*l = o
	}
}

// TestRFC8907_4_1_SessionsAreRandomAndNumbersGrow looks at the headers of some visits.
func TestRFC8907_4_1_SessionsAreRandomAndNumbersGrow(t *testing.T) {
	o := new(overheard)
	d := newDesk(t, overhear(o), script(t, "login/ascii", "GETUSER:Name: ", "typed alice", "GETPASS:Password: ", "typed wonderland", "PASS", "may", "PASS_ADD", "start", "SUCCESS", "stop", "SUCCESS"))
	for range 20 {
		if v, err := d.visit(func(v *Visit) { v.Account, v.SingleConnect, v.Services = true, true, []string{"shell"} }); err != nil || !v.Passed {
			t.Fatalf("%+v, %v", v, err)
		}
	}
	var bits [32]int
	next := map[uint32]uint8{}
	for i, p := range o.came {
		h, f := wire.ParseHeader(p, wire.MaxBody, 0)
		if f != wire.OK || h.Flags&wire.Unencrypted != 0 {
			t.Fatalf("packet %d: %v, %+v", i, f, h)
		}
		want := next[h.Session]
		if want == 0 {
			want = 1
			for b := range bits {
				bits[b] += int(h.Session >> b & 1)
			}
		}
		if h.Seq != want {
			t.Errorf("packet %d has number %d, not %d", i, h.Seq, want)
		}
		next[h.Session] = want + 2
	}
	if len(next) != 80 || len(o.came) != 120 {
		t.Errorf("%d sessions in %d packets", len(next), len(o.came))
	}
	for b, n := range bits { // each bit is set in half of them: in less than 15 or more than 65 of 80 once in ten million times
		if n < 15 || n > 65 {
			t.Errorf("bit %d is set in %d of %d sessions", b, n, len(next))
		}
	}
}

// TestRFC8907_4_3_NothingIsSentBeforeTheFirstAnswer begins with authorizations that could be asked for together.
func TestRFC8907_4_3_NothingIsSentBeforeTheFirstAnswer(t *testing.T) {
	o := new(overheard)
	d := newDesk(t, overhear(o), script(t, "may", "silence"))
	v, err := d.visit(func(v *Visit) {
		v.Method, v.SingleConnect, v.Services, v.Timeout = MethodNone, true, []string{"shell", "ppp", "slip"}, 50e6
	})
	if !errors.Is(err, ErrUnanswered) || v.Passed {
		t.Errorf("%+v, %v", v, err)
	}
	if len(o.came) != 1 {
		t.Errorf("%d packets were sent", len(o.came))
	}
}

// TestRFC8907_4_3_AConnectionThatEndsIsMadeAnew closes after each answer though it has agreed on many sessions.
func TestRFC8907_4_3_AConnectionThatEndsIsMadeAnew(t *testing.T) {
	d := newDesk(t, func(d *desk, l *net.Listener) {
		d.agrees = true
		*l = onceListener{*l}
	}, script(t, "login/pap", "PASS", "may", "PASS_ADD"))
	v, err := d.visit(func(v *Visit) { v.Method, v.SingleConnect, v.Services = MethodPAP, true, []string{"shell", "ppp"} })
	if err != nil && !errors.Is(err, ErrClosed) {
		t.Fatalf("%+v, %v", v, err)
	}
	if err == nil && v.Connections < 3 {
		t.Errorf("%+v", v)
	}
}

// onceListener has connections that end after one answer.
type onceListener struct{ net.Listener }

func (l onceListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return onceConn{c}, err
}

type onceConn struct{ net.Conn }

func (c onceConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	_ = c.Conn.Close()
	return n, err
}

// TestRFC8907_4_4_AnErrorAppliesNothing has every request answered with ERROR.
func TestRFC8907_4_4_AnErrorAppliesNothing(t *testing.T) {
	d := newDesk(t, nil, func(string) string { return "ERROR" })
	v, err := d.visit(func(v *Visit) { v.Method, v.Services = MethodPAP, []string{"shell"} })
	if err != nil || v.Passed || summary(v) != "login: ERROR false" {
		t.Errorf("%s, %v", summary(v), err)
	}
	v, err = d.visit(func(v *Visit) {
		v.Method, v.Services, v.Commands, v.Account = MethodNone, []string{"shell"}, []string{"show"}, true
	})
	if err != nil || v.Passed || slices.ContainsFunc(v.Exchanges, func(x Exchange) bool { return x.Passed }) {
		t.Errorf("%s, %v", summary(v), err)
	}
}

// TestRFC8907_5_4_AnswersAreInUserMsgAndSecretsAreHidden has the server ask for everything, hidden and shown.
func TestRFC8907_5_4_AnswersAreInUserMsgAndSecretsAreHidden(t *testing.T) {
	d := newDesk(t, nil, script(t, "login/ascii", "GETUSER:Name: ", "typed bob", "GETPASS:Password: ", "typed hush", "GETDATA:Code: ", "typed 123456", "PASS"))
	hidden := map[string]bool{}
	v, err := d.visit(func(v *Visit) {
		v.User, v.Password = "", ""
		v.Ask = func(question string, hide bool) (string, error) {
			hidden[question] = hide
			return map[string]string{"Name: ": "bob", "Password: ": "hush", "Code: ": "123456"}[question], nil
		}
	})
	if err != nil || !v.Passed {
		t.Fatalf("%+v, %v", v, err)
	}
	if hidden["Name: "] || !hidden["Password: "] || !hidden["Code: "] || len(hidden) != 3 {
		t.Errorf("hidden are %v", hidden)
	}
}

// TestRFC8907_5_4_2_LoginsOfOneStart has PAP and CHAP answered with a question, which is none of their answers.
func TestRFC8907_5_4_2_LoginsOfOneStart(t *testing.T) {
	for method, begins := range map[string]string{MethodPAP: "login/pap/login level 1 alice@trine/: wonderland", MethodCHAP: "login/chap/login level 1 alice@trine/: true"} {
		o := new(overheard)
		d := newDesk(t, overhear(o), script(t, begins, "PASS"))
		if v, err := d.visit(func(v *Visit) { v.Method = method }); err != nil || !v.Passed || len(o.came) != 1 || o.came[0][0] != byte(wire.Version1) {
			t.Errorf("%s: %+v, %v, %x", method, v, err, o.came)
		}
	}
}

// TestRFC8907_5_4_2_6_EnableHasAServiceOfItsOwn looks at what logins and enables say that they are.
func TestRFC8907_5_4_2_6_EnableHasAServiceOfItsOwn(t *testing.T) {
	d := newDesk(t, nil, script(t, "login/pap/login level 1 alice", "PASS", "login/ascii/enable level 7 alice", "GETPASS:", "typed wonderland", "PASS", "may tacacs+/pap/login level 7 alice", "PASS_ADD"))
	if v, err := d.visit(func(v *Visit) { v.Method, v.Enable, v.Services = MethodPAP, 7, []string{"shell"} }); err != nil || !v.Passed {
		t.Errorf("%+v, %v: %q", v, err, d.heard)
	}
}

// TestRFC8907_5_4_3_RestartAndFollowAreFailures has logins answered with both.
func TestRFC8907_5_4_3_RestartAndFollowAreFailures(t *testing.T) {
	d := newDesk(t, nil, script(t, "login/ascii", "RESTART"))
	if v, err := d.visit(func(v *Visit) { v.Services = []string{"shell"} }); err != nil || v.Passed || summary(v) != "login: RESTART false" {
		t.Errorf("%+v, %v", v, err)
	}
	o := &overheard{change: func(p []byte) {
		key, err := wire.NewSecret([]byte(sharedSecret))
		if err != nil {
			t.Error(err)
			return
		}
		key.Obfuscate(p)
		p[wire.HeaderLen] = byte(wire.AuthenFollow)
		key.Obfuscate(p)
	}}
	d = newDesk(t, overhear(o), script(t, "login/pap", "PASS"))
	if v, err := d.visit(func(v *Visit) { v.Method, v.Services = MethodPAP, []string{"shell"} }); v.Passed || len(o.came) != 1 {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestRFC8907_8_3_ArgumentsOfAccountingComeFirst looks at the records of two visits.
func TestRFC8907_8_3_ArgumentsOfAccountingComeFirst(t *testing.T) {
	d := newDesk(t, nil, script(t, "login/ascii", "GETPASS:", "typed wonderland", "PASS", "start", "SUCCESS", "stop", "SUCCESS"))
	for range 2 {
		if v, err := d.visit(func(v *Visit) { v.Account = true }); err != nil || !v.Passed {
			t.Fatalf("%+v, %v", v, err)
		}
	}
	ids := map[string]int{}
	for _, heard := range d.heard {
		_, args, ok := strings.Cut(heard, ": ")
		if !ok || !strings.HasPrefix(heard, "start ") && !strings.HasPrefix(heard, "stop ") {
			continue
		}
		words := strings.Fields(args)
		ids[words[0]]++
		if service := slices.Index(words, "service=shell"); service != len(words)-1 || !strings.HasPrefix(words[1], "start_time=") {
			t.Errorf("a record is %q", heard)
		}
	}
	if len(ids) != 2 { // start and stop of a visit have the same, and two visits have not
		t.Errorf("tasks are %v", ids)
	}
	for id, n := range ids {
		if n != 2 || !strings.HasPrefix(id, "task_id=") {
			t.Errorf("%s is in %d records", id, n)
		}
	}
}

// TestRFC8907_10_5_2_AnswersInClearAreRefused has the server set the flag, and send in clear as it says.
func TestRFC8907_10_5_2_AnswersInClearAreRefused(t *testing.T) {
	for name, change := range map[string]func(p []byte){
		"the flag, and obfuscated all the same": func(p []byte) { p[3] |= byte(wire.Unencrypted) },
		"the flag, and in clear": func(p []byte) {
			key, err := wire.NewSecret([]byte(sharedSecret))
			if err != nil {
				t.Error(err)
				return
			}
			key.Obfuscate(p)
			p[3] |= byte(wire.Unencrypted)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := &overheard{change: change}
			d := newDesk(t, overhear(o), script(t, "login/pap", "PASS"))
			v, err := d.visit(func(v *Visit) { v.Method, v.Services = MethodPAP, []string{"shell"} })
			if !errors.Is(err, ErrGarbled) || !errors.Is(err, wire.InClear) || v.Passed || len(o.came) != 1 {
				t.Errorf("%+v, %v", v, err)
			}
		})
	}
}

// TestRFC9887_3_4_2_TheServersNameIsIndicatedAndHeldAgainstItsCertificate connects under two names.
func TestRFC9887_3_4_2_TheServersNameIsIndicatedAndHeldAgainstItsCertificate(t *testing.T) {
	certificate, key, pair := certified(t)
	pool := x509.NewCertPool()
	pool.AddCert(pair.Leaf)
	var names []string
	d := newDesk(t, func(d *desk, l *net.Listener) {
		d.key = nil
		*l = tls.NewListener(*l, &tls.Config{
			MinVersion: tls.VersionTLS13, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
			GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				names = append(names, hello.ServerName)
				return &pair, nil
			},
		})
	}, script(t, "login/pap", "PASS"))
	visit := func(name string) (*Visited, error) {
		return d.visit(func(v *Visit) {
			v.Method, v.Secret, v.TLS = MethodPAP, "", &DeviceTLS{Certificate: certificate, Key: key, Authorities: certificate, ServerName: name}
		})
	}
	if v, err := visit(""); err != nil || !v.Passed {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := visit("tacacs.example.com"); err == nil || !strings.Contains(err.Error(), "tacacs.example.com") {
		t.Errorf("%+v, %v", v, err)
	}
	if len(names) != 2 || names[1] != "tacacs.example.com" {
		t.Errorf("indicated are %q", names)
	}
}

// TestRFC9887_5_1_1_NothingIsTriedWithoutTLSWhereTLSFails asks for TLS of a server that speaks none, or an earlier version.
func TestRFC9887_5_1_1_NothingIsTriedWithoutTLSWhereTLSFails(t *testing.T) {
	certificate, key, pair := certified(t)
	var seen [][]byte
	var mu sync.Mutex
	listen := func(serve func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				serve(c)
				_ = c.Close()
			}
		}()
		return l.Addr().String()
	}
	clear := listen(func(c net.Conn) {
		first := make([]byte, 16)
		n, _ := io.ReadFull(c, first)
		mu.Lock()
		seen = append(seen, first[:n])
		mu.Unlock()
		_, _ = c.Write([]byte{0xc0, 1, 2, 0, 0, 0, 0, 1, 0, 0, 0, 6, 1, 0, 0, 0, 0, 0})
	})
	older := listen(func(c net.Conn) {
		_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS12}).HandshakeContext(context.Background())
	})
	for _, to := range []string{clear, older} {
		v, err := Visit{
			Server: to, Secret: sharedSecret, User: "alice", Password: password, Method: MethodPAP, Enable: NoLevel, Timeout: 5e9,
			TLS: &DeviceTLS{Certificate: certificate, Key: key, Authorities: certificate},
		}.Do(t.Context())
		if err == nil || v != nil && v.Passed {
			t.Errorf("%+v, %v", v, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 1 || seen[0][0] != 22 { // a handshake record, and nothing after it failed
		t.Errorf("the server without TLS heard %x", seen)
	}
}
