package tacacs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"trine/engine"
	"trine/engine/credential"
	"trine/engine/credential/chap"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/policy"
	"trine/protocols/internal/enginetest"
	"trine/protocols/tacacs/wire"
)

const deviceDocuments = "../../docs/examples/devices/"

// TestDevices runs testdata/devices/*.txt: the documents of docs/examples/devices, as they are, and what devices of each vendor ask for. Every
// line is a session on a connection of its own, to a server with the real engine, from the address of a device. It is 2027-01-15.
//
//	documents FILE...            applies documents, over identityprovider.yaml. Each user has his name and -password for a password
//	device ADDRESS SECRET [tls NAME]
//	                             whose requests follow, and where the device has a certificate of that name, within TLS
//	login                        NAME[=PASSWORD] by METHOD: ascii, ascii-data (the password is in the START as IOS XR sends it), pap, chap;
//	                             or NAME[=PASSWORD] enables LEVEL
//	authorize                    NAME : ARGUMENT...; a blank in an argument is written ~
//	account                      start|stop|watchdog NAME : ARGUMENT..., with the number of sessions that are open then
//	log                          what the server has logged since the last look
//	on DATE                      sets the clock
//
// `go test ./protocols/tacacs -run Devices -rewrite` writes the outputs anew: review the difference.
func TestDevices(t *testing.T) {
	datadriven.Walk(t, "testdata/devices", func(t *testing.T, path string) {
		s := newEstate(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.t = t
			return s.run(d)
		})
	})
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// estate is a server with the documents of one scenario, and the device that asks it.
type estate struct {
	t          testing.TB
	house      *enginetest.House
	server     *Server
	authority  *authority
	logs       *lockedText
	told       int // bytes of the log that were looked at
	mu         sync.Mutex
	day        time.Time // the clock's reading when it was set
	set        time.Time // when it was
	address    netip.Addr
	secret     string
	name       string // of the device's certificate; empty: without TLS
	session    uint32
	identifier uint8
}

func newEstate(t *testing.T) *estate {
	s := &estate{t: t, day: time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC), set: time.Now(), authority: newAuthority(t), logs: new(lockedText)}
	s.house = enginetest.New(t, map[string]policy.Wire{document.TypeTacacs: Wire{}}, readFile(t, deviceDocuments+"identityprovider.yaml"), s.now)
	var err error
	s.server, err = Start(Config{
		Plain: []string{"127.0.0.1:0"}, Secure: []string{"127.0.0.1:0"}, TLS: s.authority.server(),
		Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, // so that a device has the address of its document
		Loops:   1, MaxConnections: 100, NewLane: func() Lane { return s.house.Engine.NewLane() }, Policies: s.house.Policies.Holder(), Clock: s.now,
		Logger: slog.New(slog.NewTextHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: withoutTime})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.server.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return s
}

// withoutTime leaves out of the log what differs from run to run.
func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// now returns the time of the scenario, which goes on from what was set.
func (s *estate) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.day.Add(time.Since(s.set))
}

func (s *estate) run(d *datadriven.TestData) string {
	var out strings.Builder
	each := func(f func(line string) (string, error)) string {
		for line := range strings.SplitSeq(d.Input, "\n") {
			outcome, err := f(line)
			if err != nil {
				d.Fatalf(s.t, "%s: %v", line, err)
			}
			fmt.Fprintf(&out, "%s -> %s\n", line, outcome)
		}
		return out.String()
	}
	switch d.Cmd {
	case "documents":
		return s.documents(d)
	case "device":
		s.address, s.secret, s.name = netip.MustParseAddr(d.CmdArgs[0].Key), d.CmdArgs[1].Key, ""
		if len(d.CmdArgs) > 3 {
			s.name = d.CmdArgs[3].Key
		}
		return ""
	case "on":
		day, err := time.Parse(time.DateOnly, d.CmdArgs[0].Key)
		if err != nil {
			d.Fatalf(s.t, "%v", err)
		}
		s.mu.Lock()
		s.day, s.set = day, time.Now()
		s.mu.Unlock()
		return ""
	case "login":
		return each(s.login)
	case "authorize":
		return each(s.authorize)
	case "account":
		return each(s.account)
	case "log":
		text := s.logs.String()
		defer func() { s.told = len(text) }()
		return text[s.told:]
	}
	d.Fatalf(s.t, "there is no command %q", d.Cmd)
	return ""
}

// documents applies documents, and gives the users among them passwords.
func (s *estate) documents(d *datadriven.TestData) string {
	for _, arg := range d.CmdArgs {
		text := readFile(s.t.(*testing.T), deviceDocuments+arg.Key)
		docs, err := document.Parse(arg.Key, strings.NewReader(text))
		if err != nil {
			return err.Error()
		}
		s.house.Put(text)
		for _, doc := range docs {
			if doc.Kind == document.KindUser {
				s.password(doc.Name)
			}
		}
	}
	for _, b := range s.house.Policies.Broken() {
		return fmt.Sprintf("broken %s %s: %v", b.Kind, b.Name, b.Err)
	}
	return "ok"
}

// password gives a user his password, in the one form of the documents' user type that is verified at once.
func (s *estate) password(user string) {
	set, err := credential.BuildForms(context.Background(), user, []byte(user+"-password"), credential.Keep{Keyed: true}, credential.Params{}, s.house.Keys, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	var b event.Builder
	if err := b.Add(event.TypePasswordSet, event.ClassIdentity, nil, set); err != nil {
		s.t.Fatal(err)
	}
	var done settled
	if err := s.house.Proposer(&done).Propose(b.Bytes(), 0); err != nil || done.Code != 0 {
		s.t.Fatal(err, done.Detail)
	}
}

// settled takes the outcome of a proposal.
type settled struct{ engine.Outcome }

// Committed implements engine.Completion.
func (s *settled) Committed(_ uint64, o engine.Outcome) { s.Outcome = o }

// dial connects the device. The header in front says its address.
func (s *estate) dial() (*device, error) {
	to := s.server.PlainAddr(0)
	if s.name != "" {
		to = s.server.SecureAddr(0)
	}
	conn, err := net.Dial("tcp", to.String())
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "PROXY TCP4 %s 127.0.0.1 3000 %d\r\n", s.address, to.Port()); err != nil {
		return nil, err
	}
	if s.name == "" {
		return newDevice(s.t, conn, s.secret), nil
	}
	return newDevice(s.t, tls.Client(conn, s.authority.device(s.t, s.name)), ""), nil
}

// flags returns what the packets of the device say.
func (s *estate) flags() wire.Flags {
	if s.name != "" {
		return wire.Unencrypted
	}
	return 0
}

// exchange sends what was built on a connection of its own, and what follows what is answered until the session is over.
func (s *estate) exchange(build func(d *device, session uint32), next func(d *device, h wire.Header, body []byte) (outcome string, over bool)) (string, error) {
	d, err := s.dial()
	if err != nil {
		return "", err
	}
	defer d.conn.Close()
	d.flags = s.flags()
	s.session++
	build(d, s.session)
	for {
		h, body, err := d.next()
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			return "no answer: the connection ends", nil
		}
		if err != nil {
			return "", err
		}
		if outcome, over := next(d, h, body); over {
			return outcome, nil
		}
	}
}

func (s *estate) login(line string) (string, error) {
	words := strings.Fields(line)
	if len(words) != 3 {
		return "", errors.New("a login is a name, a verb and how")
	}
	name, password, given := strings.Cut(words[0], "=")
	if !given {
		password = strings.TrimSuffix(name, "@default_admin") + "-password"
	}
	start := wire.AuthenStart{Type: wire.TypeASCII, User: []byte(name), Port: []byte("tty2"), RemAddr: []byte("198.51.100.77")}
	switch words[1] + " " + words[2] {
	case "by ascii":
		start.User = nil
	case "by ascii-data":
		start.Data = []byte(password)
	case "by pap":
		start.Type, start.Data, start.Service = wire.TypePAP, []byte(password), wire.ServicePPP
	case "by chap":
		s.identifier++
		challenge := []byte("0123456789abcdef")
		response := chap.Response(s.identifier, []byte(password), challenge)
		start.Type, start.Data, start.Service = wire.TypeCHAP, append(append([]byte{s.identifier}, challenge...), response[:]...), wire.ServicePPP
	default:
		var level uint8
		if _, err := fmt.Sscanf(words[1]+" "+words[2], "enables %d", &level); err != nil {
			return "", err
		}
		start.Service, start.PrivLvl = wire.ServiceEnable, level
	}
	asked := ""
	return s.exchange(func(d *device, session uint32) { d.start(session, start) }, func(d *device, h wire.Header, body []byte) (string, bool) {
		var a wire.AuthenReply
		if f := wire.ParseAuthenReply(body, 0, &a); f != wire.OK {
			return f.Error(), true
		}
		switch a.Status {
		case wire.AuthenGetUser:
			d.say(h.Session, h.Seq+1, name)
		case wire.AuthenGetPass:
			d.say(h.Session, h.Seq+1, password)
		default:
			return asked + a.Status.String(), true
		}
		asked += a.Status.String() + " "
		return "", false
	})
}

// arguments reads NAME : ARGUMENT...
func arguments(line string) (name string, args []string, err error) {
	name, text, ok := strings.Cut(line, " : ")
	if !ok {
		return "", nil, errors.New("a request is a name, a colon and arguments")
	}
	for _, arg := range strings.Fields(text) {
		args = append(args, strings.ReplaceAll(arg, "~", " "))
	}
	return name, args, nil
}

func (s *estate) authorize(line string) (string, error) {
	name, args, err := arguments(line)
	if err != nil {
		return "", err
	}
	return s.exchange(func(d *device, session uint32) { d.authorize(session, name, args...) }, func(_ *device, _ wire.Header, body []byte) (string, bool) {
		var a wire.AuthorResponse
		if f := wire.ParseAuthorResponse(body, 0, &a); f != wire.OK {
			return "an answer that makes no sense under this secret", true
		}
		outcome := a.Status.String()
		for text := range a.Args.Raw() {
			outcome += "\n  " + string(text)
		}
		return outcome, true
	})
}

func (s *estate) account(line string) (string, error) {
	verb, rest, _ := strings.Cut(line, " ")
	name, args, err := arguments(rest)
	if err != nil {
		return "", err
	}
	flags, known := map[string]wire.AcctFlags{"start": wire.AcctStart, "stop": wire.AcctStop, "watchdog": wire.AcctWatchdog}[verb]
	if !known {
		return "", fmt.Errorf("there is no record %q", verb)
	}
	return s.exchange(func(d *device, session uint32) { d.account(session, flags, name, args...) }, func(_ *device, _ wire.Header, body []byte) (string, bool) {
		var a wire.AcctReply
		if f := wire.ParseAcctReply(body, 0, &a); f != wire.OK {
			return f.Error(), true
		}
		return fmt.Sprintf("%v, %d open", a.Status, s.house.People.Counts().Sessions), true
	})
}

// authority makes the certificates of a scenario.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, pool: x509.NewCertPool()}
	a.key = newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes the certificate of a name; change may change what it says.
func (a *authority) issue(name string, change ...func(*x509.Certificate)) tls.Certificate {
	key := newKey(a.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, f := range change {
		f(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) server() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.issue("trine.example.com")}, ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13}
}

func (a *authority) device(t testing.TB, name string) *tls.Config {
	t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{a.issue(name)}, RootCAs: a.pool, ServerName: "trine.example.com", MinVersion: tls.VersionTLS13}
}
