package kerberos

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trine/engine/credential/kerberos/mittest"
	"trine/engine/trace"
)

const mitConfig = `
[libdefaults]
default_realm = EXAMPLE.TEST
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
udp_preference_limit = 1
allow_weak_crypto = true
[realms]
EXAMPLE.TEST = {
	kdc = 127.0.0.1:{port}
}
OTHER.TEST = {
	kdc = 127.0.0.1:{port}
}
[domain_realm]
idp.example.test = EXAMPLE.TEST
[logging]
kdc = FILE:{dir}/kdc.log
`

const mitKDCConfig = `
[kdcdefaults]
kdc_listen = 127.0.0.1:{port}
kdc_tcp_listen = 127.0.0.1:{port}
[realms]
EXAMPLE.TEST = {
	database_name = {dir}/example
	key_stash_file = {dir}/example.stash
	supported_enctypes = aes256-cts:normal aes128-cts:normal aes256-sha2:normal aes128-sha2:normal
}
OTHER.TEST = {
	database_name = {dir}/other
	key_stash_file = {dir}/other.stash
	supported_enctypes = aes256-cts:normal
}
`

// mit is a KDC of Debian's MIT Kerberos for two realms that trust each other, with its client tools, in a directory of its own.
type mit struct {
	t *testing.T
	mittest.Realm
}

const idp = "HTTP/idp.example.test@EXAMPLE.TEST"

// python returns a Python that has MIT's GSS-API.
func python(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(path, "-c", "import gssapi").Run() == nil {
			return path
		}
	}
	t.Skip("no Python has gssapi (Debian: python3-gssapi)")
	return ""
}

func newMIT(t *testing.T) *mit {
	t.Helper()
	for _, name := range []string{"krb5kdc", "kadmin.local", "kinit"} {
		mittest.Tool(t, name)
	}
	python(t)
	dir := t.TempDir()
	m := &mit{t, mittest.Realm{
		Dir: dir, Config: map[string]string{dir + "/krb5.conf": mitConfig, dir + "/kdc.conf": mitKDCConfig},
		Env: append(os.Environ(), "KRB5_CONFIG="+dir+"/krb5.conf", "KRB5_KDC_PROFILE="+dir+"/kdc.conf", "KRB5CCNAME=FILE:"+dir+"/cc",
			"KRB5_CLIENT_KTNAME=FILE:"+dir+"/none", "KRB5RCACHENAME=none:"),
	}}
	m.Configure(t, 0)
	for _, realm := range []string{"EXAMPLE.TEST", "OTHER.TEST"} {
		m.run("", "kdb5_util", "-r", realm, "-P", "master", "create", "-s")
		for _, trust := range []string{"krbtgt/EXAMPLE.TEST@OTHER.TEST", "krbtgt/OTHER.TEST@EXAMPLE.TEST"} {
			m.admin(realm, "addprinc -pw trust "+trust)
		}
	}
	m.admin("EXAMPLE.TEST", "addprinc -pw secret alice")
	m.admin("OTHER.TEST", "addprinc -pw secret bob")
	m.admin("EXAMPLE.TEST", "addprinc -randkey "+idp)
	m.Serve(t, "EXAMPLE.TEST", "OTHER.TEST")
	m.kinit("alice@EXAMPLE.TEST")
	return m
}

func (m *mit) run(input, name string, args ...string) string {
	m.t.Helper()
	return m.Run(m.t, input, name, args...)
}

func (m *mit) admin(realm, query string) {
	m.t.Helper()
	m.Admin(m.t, realm, query)
}

func (m *mit) kinit(principal string, args ...string) {
	m.t.Helper()
	m.run("secret\n", "kinit", append(args, principal)...)
}

// keytab exports a service's keys. It makes new ones unless they are kept.
func (m *mit) keytab(service string, args ...string) []byte {
	m.t.Helper()
	path := filepath.Join(m.t.TempDir(), "keytab")
	m.admin("EXAMPLE.TEST", "ktadd -k "+path+" "+strings.Join(append(args, service), " "))
	file, err := os.ReadFile(path)
	if err != nil {
		m.t.Fatal(err)
	}
	return file
}

func (m *mit) acceptor(file []byte, edit func(*Config)) *Acceptor {
	m.t.Helper()
	keytab, err := ParseKeytab(file)
	if err != nil {
		m.t.Fatal(err)
	}
	c := Config{Keytab: keytab, Mapping: Mapping{Realms: map[string]Realm{"EXAMPLE.TEST": {}}}}
	if edit != nil {
		edit(&c)
	}
	a, err := NewAcceptor(c)
	if err != nil {
		m.t.Fatal(err)
	}
	return a
}

// initiate has MIT's GSS-API make a token and take the reply. It returns the token, and a function that gives the reply and says whether the
// client holds the context for complete.
func (m *mit) initiate(service, mechanism, mutual string, binding []byte) ([]byte, func([]byte) (string, error)) {
	m.t.Helper()
	bound := "-"
	if binding != nil {
		bound = hex.EncodeToString(binding)
	}
	script, err := filepath.Abs("testdata/initiator.py")
	if err != nil {
		m.t.Fatal(err)
	}
	command := exec.Command(python(m.t), script, service, mechanism, mutual, bound)
	command.Env, command.Dir = m.Env, m.Dir
	var complaint bytes.Buffer
	command.Stderr = &complaint
	in, err := command.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		m.t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		_ = command.Wait()
		m.t.Fatalf("the client makes no token: %s", complaint.String())
	}
	token, err := FromHeader("Negotiate " + line)
	if err != nil {
		m.t.Fatal(err)
	}
	ended := false
	finish := func(reply []byte) (string, error) {
		ended = true
		_, _ = io.WriteString(in, base64.StdEncoding.EncodeToString(reply)+"\n")
		in.Close()
		said, _ := io.ReadAll(lines)
		if err := command.Wait(); err != nil {
			return "", errors.New(complaint.String())
		}
		return strings.TrimSpace(string(said)), nil
	}
	m.t.Cleanup(func() {
		if !ended {
			_ = command.Process.Kill()
			_ = command.Wait()
		}
	})
	return token, finish
}

// token is initiate where nobody waits for the reply.
func (m *mit) token(service string) []byte {
	m.t.Helper()
	token, _ := m.initiate(service, "spnego", "mutual", nil)
	return token
}

func TestAgainstMIT(t *testing.T) {
	m := newMIT(t)
	file := m.keytab(idp)
	m.run("", "kvno", idp)
	a := m.acceptor(file, nil)

	t.Run("tickets have PACs", func(t *testing.T) {
		offered, err := parseToken(m.token(idp))
		if err != nil {
			t.Fatal(err)
		}
		q, err := parseRequest(offered.request)
		if err != nil {
			t.Fatal(err)
		}
		k := a.keytab.find(&q.service, q.ticket.version, q.ticket.enctype)
		if len(k) != 1 {
			t.Fatalf("%d keys", len(k))
		}
		plain, err := decrypt(q.ticket.enctype, k[0].key, usageTicket, q.ticket.cipher)
		if err != nil {
			t.Fatal(err)
		}
		// ad-type [0] INTEGER 128 (AD-WIN2K-PAC). Without one, this test would not show that PACs do no harm.
		if !bytes.Contains(plain, []byte{0xa0, 4, 2, 2, 0, 128}) {
			t.Error("the KDC puts no PAC into tickets")
		}
	})

	t.Run("the client takes the reply", func(t *testing.T) {
		for _, mechanism := range []string{"spnego", "krb5"} {
			for _, mutual := range []string{"mutual", "one-way"} {
				token, finish := m.initiate(idp, mechanism, mutual, nil)
				o := a.Accept(token, nil, time.Now())
				if o.Reason != trace.OK || o.User != "alice" || o.Principal != "alice@EXAMPLE.TEST" || o.Service != idp {
					t.Errorf("%s, %s: %s (%v), %q", mechanism, mutual, o.Reason, o.Err, o.User)
					continue
				}
				if time.Until(o.Ends) < time.Hour || time.Since(o.AuthAt) > time.Hour {
					t.Errorf("%s, %s: authenticated at %v, ends at %v", mechanism, mutual, o.AuthAt, o.Ends)
				}
				if said, err := finish(o.Reply); said != "complete" {
					t.Errorf("%s, %s: the client says %q, %v", mechanism, mutual, said, err)
				}
			}
		}
	})

	t.Run("the client refuses another's reply", func(t *testing.T) {
		_, finish := m.initiate(idp, "spnego", "mutual", nil)
		o := a.Accept(m.token(idp), nil, time.Now())
		if o.Reason != trace.OK {
			t.Fatalf("got %s (%v)", o.Reason, o.Err)
		}
		if said, err := finish(o.Reply); err == nil {
			t.Errorf("the client says %q", said)
		}
	})

	t.Run("channel binding", func(t *testing.T) {
		binding := []byte("tls-server-end-point:12345678901234567890123456789012")
		strict := m.acceptor(file, func(c *Config) { c.RequireBinding = true })
		token, finish := m.initiate(idp, "spnego", "mutual", binding)
		o := strict.Accept(token, binding, time.Now())
		if o.Reason != trace.OK || !o.Bound {
			t.Errorf("got %s (%v), bound %t", o.Reason, o.Err, o.Bound)
		} else if said, err := finish(o.Reply); said != "complete" {
			t.Errorf("the client says %q, %v", said, err)
		}
		token, _ = m.initiate(idp, "spnego", "mutual", []byte("tls-server-end-point:another"))
		if o := a.Accept(token, binding, time.Now()); o.Reason != trace.KerberosBinding {
			t.Errorf("bound to another: %s (%v)", o.Reason, o.Err)
		}
		if o := strict.Accept(m.token(idp), binding, time.Now()); o.Reason != trace.KerberosBinding {
			t.Errorf("not bound: %s (%v)", o.Reason, o.Err)
		}
	})

	t.Run("replay", func(t *testing.T) {
		token := m.token(idp)
		if o := a.Accept(token, nil, time.Now()); o.Reason != trace.OK {
			t.Errorf("got %s (%v)", o.Reason, o.Err)
		}
		if o := a.Accept(token, nil, time.Now()); o.Reason != trace.KerberosReplayed || o.User != "" || o.Reply != nil {
			t.Errorf("again: %s (%v)", o.Reason, o.Err)
		}
		if o := a.Accept(m.token(idp), nil, time.Now()); o.Reason != trace.OK {
			t.Errorf("another use of the ticket: %s (%v)", o.Reason, o.Err)
		}
	})

	t.Run("time", func(t *testing.T) {
		for name, test := range map[string]struct {
			at   time.Duration
			want trace.Reason
		}{
			"within the skew": {DefaultSkew - time.Minute, trace.OK},
			"later":           {DefaultSkew + time.Minute, trace.KerberosSkew},
			"earlier":         {-DefaultSkew - time.Minute, trace.KerberosNotYetValid},
			"expired":         {48 * time.Hour, trace.KerberosExpired},
		} {
			if o := a.Accept(m.token(idp), nil, time.Now().Add(test.at)); o.Reason != test.want {
				t.Errorf("%s: %s (%v)", name, o.Reason, o.Err)
			}
		}
	})

	t.Run("every encryption type", func(t *testing.T) {
		for enctype, name := range map[int32]string{
			aes128SHA1: "aes128-cts-hmac-sha1-96", aes256SHA1: "aes256-cts-hmac-sha1-96", aes128SHA256: "aes128-cts-hmac-sha256-128",
			aes256SHA384: "aes256-cts-hmac-sha384-192", rc4HMAC: "arcfour-hmac",
		} {
			service := fmt.Sprintf("HTTP/e%d.example.test@EXAMPLE.TEST", enctype)
			m.admin("EXAMPLE.TEST", "addprinc -randkey -e "+name+":normal "+service)
			keys := m.keytab(service, "-e", name+":normal")
			a := m.acceptor(append(keys, file[2:]...), func(c *Config) { c.RC4 = true })
			token, finish := m.initiate(service, "spnego", "mutual", nil)
			o := a.Accept(token, nil, time.Now())
			if o.Reason != trace.OK || o.User != "alice" {
				t.Errorf("%s: %s (%v)", name, o.Reason, o.Err)
				continue
			}
			if said, err := finish(o.Reply); said != "complete" {
				t.Errorf("%s: the client says %q, %v", name, said, err)
			}
			if enctype == rc4HMAC {
				if o := m.acceptor(append(keys, file[2:]...), nil).Accept(m.token(service), nil, time.Now()); o.Reason != trace.KerberosWeak {
					t.Errorf("%s, not allowed: %s (%v)", name, o.Reason, o.Err)
				}
			}
		}
	})

	t.Run("another realm", func(t *testing.T) {
		m.kinit("bob@OTHER.TEST")
		defer m.kinit("alice@EXAMPLE.TEST")
		if o := a.Accept(m.token(idp), nil, time.Now()); o.Reason != trace.KerberosRealm || o.Principal != "bob@OTHER.TEST" {
			t.Errorf("not mapped: %s (%v) of %s", o.Reason, o.Err, o.Principal)
		}
		both := m.acceptor(file, func(c *Config) {
			c.Mapping = Mapping{Realms: map[string]Realm{"EXAMPLE.TEST": {}, "OTHER.TEST": {As: "other.example"}}}
		})
		token, finish := m.initiate(idp, "spnego", "mutual", nil)
		o := both.Accept(token, nil, time.Now())
		if o.Reason != trace.OK || o.User != "bob@other.example" {
			t.Errorf("mapped: %s (%v), %q", o.Reason, o.Err, o.User)
		} else if said, err := finish(o.Reply); said != "complete" {
			t.Errorf("the client says %q, %v", said, err)
		}
	})

	t.Run("wrong keytab", func(t *testing.T) {
		m.admin("EXAMPLE.TEST", "addprinc -randkey HTTP/other.example.test@EXAMPLE.TEST")
		other := m.acceptor(m.keytab("HTTP/other.example.test@EXAMPLE.TEST"), nil)
		if o := other.Accept(m.token(idp), nil, time.Now()); o.Reason != trace.KerberosNoKey {
			t.Errorf("another service's: %s (%v)", o.Reason, o.Err)
		}
		// Principals that were made anew have the versions that they had, and other keys.
		m.admin("EXAMPLE.TEST", "addprinc -randkey HTTP/again.example.test@EXAMPLE.TEST")
		old := m.acceptor(m.keytab("HTTP/again.example.test@EXAMPLE.TEST"), nil)
		m.admin("EXAMPLE.TEST", "delprinc -force HTTP/again.example.test@EXAMPLE.TEST")
		m.admin("EXAMPLE.TEST", "addprinc -randkey HTTP/again.example.test@EXAMPLE.TEST")
		m.keytab("HTTP/again.example.test@EXAMPLE.TEST")
		if o := old.Accept(m.token("HTTP/again.example.test@EXAMPLE.TEST"), nil, time.Now()); o.Reason != trace.KerberosWrongKey {
			t.Errorf("of before: %s (%v)", o.Reason, o.Err)
		}
	})

	t.Run("keys that were changed", func(t *testing.T) {
		before := m.token(idp) // and its ticket stays in the client's cache
		file := m.keytab(idp)
		if o := a.Accept(before, nil, time.Now()); o.Reason != trace.OK {
			t.Errorf("the old ticket with the old keytab: %s (%v)", o.Reason, o.Err)
		}
		m.kinit("alice@EXAMPLE.TEST")
		token := m.token(idp)
		if o := a.Accept(token, nil, time.Now()); o.Reason != trace.KerberosNoKey || !strings.Contains(o.Err.Error(), "version") {
			t.Errorf("a new ticket with the old keytab: %s (%v)", o.Reason, o.Err)
		}
		if o := m.acceptor(file, nil).Accept(token, nil, time.Now()); o.Reason != trace.OK {
			t.Errorf("a new ticket with the new keytab: %s (%v)", o.Reason, o.Err)
		}
	})
}
