package delivery

import (
	"bytes"
	"fmt"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// eximConfig is a mail server of its own: one domain, a login, recipients that it refuses for good or for now.
const eximConfig = `
primary_hostname = mail.example.com
spool_directory = %[1]s/spool
log_file_path = %[1]s/%%slog
tls_advertise_hosts = %[2]s
tls_certificate = %[1]s/chain.pem
tls_privatekey = %[1]s/key.pem
acl_smtp_rcpt = recipient
acl_smtp_data = content
smtp_accept_max_per_connection = 0
host_lookup =
rfc1413_query_timeout = 0s
keep_environment =

begin acl
recipient:
  require condition = ${if or{{!eq{%[3]s}{yes}}{def:authenticated_id}}}
          message = log in first
  deny    local_parts = nobody
          message = no such user here
  defer   local_parts = later
          condition = ${if exists{%[1]s/open}{no}{yes}}
          message = try again later
  accept  domains = example.com
  deny    message = relaying is not offered
content:
  deny    condition = ${if match{$header_subject:}{refused}}
          message = this looks bad: $message_body
  accept

begin routers
everybody:
  driver = accept
  transport = inbox

begin transports
inbox:
  driver = appendfile
  file = %[1]s/inbox/${lookup{$local_part}lsearch,ret=key{%[1]s/people}}
  user = Debian-exim

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_advertise_condition = ${if def:tls_in_cipher}
  server_condition = ${if and{{eq{$auth2}{trine}}{eq{$auth3}{s3cret s3cret}}}}
  server_set_id = $auth2
`

// exim is Debian's mail server. It is started for each connection, as inetd would do: so it listens on a port that the system gives, and
// nothing is left of it.
type exim struct {
	t           *testing.T
	dir         string
	address     string
	connections atomic.Int32
}

// people are who has an inbox.
var people = []string{"alice", "bob", "one", "two", "three", "later", "opportunistic-without", "none"}

// eximOptions say how the server is.
type eximOptions struct {
	noTLS, implicitTLS, login bool
}

func startExim(t *testing.T, a *authority, o eximOptions) *exim {
	t.Helper()
	path, err := exec.LookPath("exim4")
	if err != nil {
		path = "/usr/sbin/exim4"
		if _, err := os.Stat(path); err != nil {
			t.Skip("no exim4 (Debian package exim4-daemon-light)")
		}
	}
	if os.Getuid() != 0 {
		t.Skip("not root: exim4 takes another configuration from root only")
	}
	e := &exim{t: t, dir: t.TempDir()}
	if err := os.Chmod(filepath.Dir(e.dir), 0o755); err != nil { // the server becomes other users
		t.Fatal(err)
	}
	hosts, login := "*", "no"
	if o.noTLS {
		hosts = ":"
	}
	if o.login {
		login = "yes"
	}
	for name, text := range map[string][]byte{
		"exim.conf": fmt.Appendf(nil, eximConfig, e.dir, hosts, login), "chain.pem": a.chain, "key.pem": a.key,
		"people": []byte(strings.Join(people, ":\n") + ":\n"),
	} {
		if err := os.WriteFile(filepath.Join(e.dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".", "spool", "inbox"} {
		name = filepath.Join(e.dir, name)
		if err := os.MkdirAll(name, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.address = listener.Addr().String()
	arguments := []string{"-C", filepath.Join(e.dir, "exim.conf"), "-bs", "-odf"}
	if o.implicitTLS {
		arguments = append(arguments, "-tls-on-connect")
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			e.connections.Add(1)
			running.Go(func() { e.serve(conn.(*net.TCPConn), path, arguments) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
		if t.Failed() {
			for _, name := range []string{"mainlog", "rejectlog", "paniclog"} {
				text, _ := os.ReadFile(filepath.Join(e.dir, name))
				t.Logf("%s:\n%s", name, text)
			}
		}
	})
	return e
}

func (e *exim) serve(conn *net.TCPConn, path string, arguments []string) {
	file, err := conn.File()
	_ = conn.Close()
	if err != nil {
		e.t.Error(err)
		return
	}
	defer file.Close()
	var said bytes.Buffer
	command := exec.Command(path, arguments...)
	command.Stdin, command.Stdout, command.Stderr = file, file, &said
	command.WaitDelay = 5 * time.Second
	if err := command.Run(); err != nil && said.Len() > 0 {
		e.t.Logf("exim: %v\n%s", err, said.Bytes())
	}
}

// inbox waits for the mail of a recipient and returns it.
func (e *exim) inbox(recipient string) *mail.Message {
	e.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(e.dir, "inbox", recipient))
		if _, rest, ok := bytes.Cut(text, []byte("\n")); err == nil && ok { // the first line is the mailbox's own
			m, err := mail.ReadMessage(bytes.NewReader(rest))
			if err != nil {
				e.t.Fatalf("%v\n%s", err, text)
			}
			return m
		}
		if time.Now().After(deadline) {
			e.t.Fatal("the mail did not arrive")
		}
	}
}

// open lets the recipient in who was refused for now.
func (e *exim) open() {
	if err := os.WriteFile(filepath.Join(e.dir, "open"), nil, 0o644); err != nil {
		e.t.Fatal(err)
	}
}
