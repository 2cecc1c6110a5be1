package tacacs

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"trine/engine"
	"trine/engine/document"
	"trine/engine/policy"
	"trine/protocols/internal/enginetest"
	"trine/protocols/tacacs/wire"
)

const houseDocuments = `
kind: UserType
name: default
spec: {password: {keep: [keyed, nt, clear], allowChange: true, minLength: 6}}
---
kind: User
name: alice
spec: {roles: [{role: 15@core}]}
---
kind: User
name: bob
spec: {roles: [{role: 1@core}]}
---
kind: User
name: nemo
spec: {}
---
kind: Role
name: 1@core
spec: {commands: [{permit: "show *"}], services: {shell: [idletime=5, "autocmd*menu"]}}
---
kind: IdentityProvider
name: local
spec: {type: local, publicID: "https://idp.example.com", profiles: {tacacs: {enabled: true, mschapv1: true}}}
---
kind: ServiceProvider
name: core
spec:
  type: tacacs
  tacacs: {sourceIPs: [127.0.0.0/16, "::1"], secret: testing123, prompts: {banner: "Keep out.\nReally."}}
`

// rig is a server with the real engine behind it.
type rig struct {
	t      testing.TB
	house  *enginetest.House
	server *Server
	to     netip.AddrPort
	logs   *lockedText

	once    sync.Once
	stopped error
}

type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newRig starts a server on loopback; change may change what it is configured with.
func newRig(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	return newRigOver(t, nil, change...)
}

func newRigOver(t testing.TB, tune func(*engine.Config), change ...func(*Config)) *rig {
	t.Helper()
	var tunes []func(*engine.Config)
	if tune != nil {
		tunes = append(tunes, tune)
	}
	r := &rig{t: t, logs: new(lockedText)}
	r.house = enginetest.New(t, map[string]policy.Wire{document.TypeTacacs: Wire{}}, houseDocuments, nil, tunes...)
	for user, password := range map[string]string{"alice": "wonderland", "bob": "builder", "nemo": "nobody"} {
		r.house.Password(user, password)
	}
	c := Config{
		Plain: []string{"127.0.0.1:0"}, Loops: 1, NewLane: func() Lane { return r.house.Engine.NewLane() },
		Policies: r.house.Policies.Holder(), Logger: slog.New(slog.NewTextHandler(r.logs, nil)),
	}
	for _, f := range change {
		f(&c)
	}
	var err error
	if r.server, err = Start(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	r.to = r.server.PlainAddr(0)
	return r
}

// stop stops the server, once.
func (r *rig) stop() error {
	r.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		r.stopped = r.server.Stop(ctx)
	})
	return r.stopped
}

// device is a client of the server, made of the codec.
type device struct {
	t       testing.TB
	conn    net.Conn
	secret  *wire.Secret // nil: within TLS
	flags   wire.Flags   // that its packets have
	builder wire.Builder
	buf     []byte
}

// dial connects a device that shares a secret.
func (r *rig) dial(secret string) *device {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.to.String())
	if err != nil {
		r.t.Fatal(err)
	}
	return newDevice(r.t, conn, secret)
}

// dialFrom connects a device from an address of loopback.
func (r *rig) dialFrom(ip, secret string) *device {
	r.t.Helper()
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).Dial("tcp", r.to.String())
	if err != nil {
		r.t.Fatal(err)
	}
	return newDevice(r.t, conn, secret)
}

func newDevice(t testing.TB, conn net.Conn, secret string) *device {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	d := &device{t: t, conn: conn, buf: make([]byte, 1<<17)}
	if secret != "" {
		var err error
		if d.secret, err = wire.NewSecret([]byte(secret)); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// packet returns what was built, obfuscated.
func (d *device) packet() []byte {
	d.t.Helper()
	p, f := d.builder.Finish(d.secret)
	if f != wire.OK {
		d.t.Fatal(f)
	}
	return p
}

// send sends bytes.
func (d *device) send(p []byte) {
	d.t.Helper()
	if _, err := d.conn.Write(p); err != nil {
		d.t.Fatal(err)
	}
}

func header(kind wire.Type, version wire.Version, seq uint8, session uint32, flags wire.Flags) wire.Header {
	return wire.Header{Version: version, Type: kind, Seq: seq, Session: session, Flags: flags}
}

// start sends a START.
func (d *device) start(session uint32, s wire.AuthenStart) {
	d.t.Helper()
	version := wire.Version0
	if s.Type != wire.TypeASCII && s.Type != wire.TypeNotSet {
		version = wire.Version1
	}
	if s.Action == 0 {
		s.Action = wire.Login
	}
	if s.Service == 0 {
		s.Service = wire.ServiceLogin
	}
	d.builder.AuthenStart(d.buf, header(wire.Authentication, version, 1, session, d.flags), &s)
	d.send(d.packet())
}

// say sends a CONTINUE.
func (d *device) say(session uint32, seq uint8, text string) {
	d.t.Helper()
	d.builder.AuthenContinue(d.buf, header(wire.Authentication, wire.Version0, seq, session, d.flags), &wire.AuthenContinue{UserMsg: []byte(text)})
	d.send(d.packet())
}

// authorize sends an authorization REQUEST.
func (d *device) authorize(session uint32, user string, args ...string) {
	d.t.Helper()
	d.send(d.authorization(session, user, args...))
}

// authorization returns an authorization REQUEST, which is good until the next packet is made.
func (d *device) authorization(session uint32, user string, args ...string) []byte {
	d.t.Helper()
	d.builder.AuthorRequest(d.buf, header(wire.Authorization, wire.Version0, 1, session, d.flags), &wire.AuthorRequest{
		Method: wire.MethodTACACSPlus, PrivLvl: 1, Type: wire.TypeASCII, Service: wire.ServiceLogin, User: []byte(user), Port: []byte("tty1"), RemAddr: []byte("192.0.2.9"),
	})
	for _, a := range args {
		d.builder.Arg([]byte(a))
	}
	return d.packet()
}

// account sends an accounting REQUEST.
func (d *device) account(session uint32, flags wire.AcctFlags, user string, args ...string) {
	d.t.Helper()
	d.builder.AcctRequest(d.buf, header(wire.Accounting, wire.Version0, 1, session, d.flags), &wire.AcctRequest{Flags: flags, AuthorRequest: wire.AuthorRequest{
		Method: wire.MethodTACACSPlus, PrivLvl: 1, Type: wire.TypeASCII, Service: wire.ServiceLogin, User: []byte(user), Port: []byte("tty1"), RemAddr: []byte("192.0.2.9"),
	}})
	for _, a := range args {
		d.builder.Arg([]byte(a))
	}
	d.send(d.packet())
}

// raw sends a packet whose body is given byte by byte, whatever it says.
func (d *device) raw(kind wire.Type, version wire.Version, seq uint8, session uint32, body []byte) {
	d.t.Helper()
	p := make([]byte, wire.HeaderLen, wire.HeaderLen+len(body))
	h := header(kind, version, seq, session, d.flags)
	if h.Length = uint32(len(body)); d.secret == nil {
		h.Flags |= wire.Unencrypted
	}
	h.Put(p)
	p = append(p, body...)
	if d.secret != nil {
		d.secret.Obfuscate(p)
	}
	d.send(p)
}

// read returns the next packet, its obfuscation taken off, and fails after five seconds.
func (d *device) read() (wire.Header, []byte) {
	d.t.Helper()
	h, body, err := d.next()
	if err != nil {
		d.t.Fatalf("no answer: %v", err)
	}
	return h, body
}

func (d *device) next() (wire.Header, []byte, error) {
	d.t.Helper()
	_ = d.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	p := make([]byte, wire.HeaderLen)
	if _, err := io.ReadFull(d.conn, p); err != nil {
		return wire.Header{}, nil, err
	}
	h, f := wire.ParseHeader(p, wire.MaxBody, wire.MinorOne)
	if f != wire.OK && f != wire.TypeUnknown {
		d.t.Fatal(f)
	}
	p = append(p, make([]byte, h.Length)...)
	if _, err := io.ReadFull(d.conn, p[wire.HeaderLen:]); err != nil {
		return h, nil, err
	}
	if want := d.secret == nil; (h.Flags&wire.Unencrypted != 0) != want {
		d.t.Fatalf("the answer's flags are %v", h.Flags)
	}
	if d.secret != nil {
		d.secret.Obfuscate(p)
	}
	return h, p[wire.HeaderLen:], nil
}

// reply reads an authentication REPLY of a session.
func (d *device) reply(session uint32, status wire.AuthenStatus) wire.AuthenReply {
	d.t.Helper()
	h, body := d.read()
	var a wire.AuthenReply
	if f := wire.ParseAuthenReply(body, 0, &a); f != wire.OK || h.Type != wire.Authentication || h.Session != session {
		d.t.Fatalf("%v: %+v %x", f, h, body)
	}
	if a.Status != status {
		d.t.Fatalf("the answer is %v %q, not %v", a.Status, a.ServerMsg, status)
	}
	return a
}

// response reads an authorization RESPONSE of a session.
func (d *device) response(session uint32, status wire.AuthorStatus, args ...string) {
	d.t.Helper()
	h, body := d.read()
	var a wire.AuthorResponse
	if f := wire.ParseAuthorResponse(body, 0, &a); f != wire.OK || h.Type != wire.Authorization || h.Session != session {
		d.t.Fatalf("%v: %+v %x", f, h, body)
	}
	var got []string
	for text := range a.Args.Raw() {
		got = append(got, string(text))
	}
	if a.Status != status || strings.Join(got, " ") != strings.Join(args, " ") {
		d.t.Fatalf("the answer is %v %q, not %v %q", a.Status, got, status, args)
	}
}

// acct reads an accounting REPLY of a session.
func (d *device) acct(session uint32, status wire.AcctStatus) {
	d.t.Helper()
	h, body := d.read()
	var a wire.AcctReply
	if f := wire.ParseAcctReply(body, 0, &a); f != wire.OK || h.Type != wire.Accounting || h.Session != session {
		d.t.Fatalf("%v: %+v %x", f, h, body)
	}
	if a.Status != status {
		d.t.Fatalf("the answer is %v, not %v", a.Status, status)
	}
}

// ended waits for the server to close the connection.
func (d *device) ended() {
	d.t.Helper()
	if h, body, err := d.next(); !errors.Is(err, io.EOF) {
		d.t.Fatalf("the connection goes on: %+v %x %v", h, body, err)
	}
}

// dropped returns how often something was not processed for a cause.
func (r *rig) dropped(label string) uint64 {
	for _, c := range r.server.Stats().Dropped {
		if c.Label == label {
			return c.Count
		}
	}
	r.t.Fatalf("there is no cause %q", label)
	return 0
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
