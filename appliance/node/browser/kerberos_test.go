package browser

import (
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const kerberosConfiguration = `
[libdefaults]
default_realm = EXAMPLE.TEST
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
udp_preference_limit = 1
[realms]
EXAMPLE.TEST = {
	kdc = 127.0.0.1:{port}
}
[domain_realm]
localhost = EXAMPLE.TEST
[logging]
kdc = FILE:{dir}/kdc.log
`

const kdcConfiguration = `
[kdcdefaults]
kdc_listen = 127.0.0.1:{port}
kdc_tcp_listen = 127.0.0.1:{port}
[realms]
EXAMPLE.TEST = {
	database_name = {dir}/principals
	key_stash_file = {dir}/stash
	supported_enctypes = aes256-cts:normal
}
`

// kerberos starts a KDC of MIT's, logs the person in whose browser it is, and returns the keytab of the service HTTP/localhost.
func kerberos(t *testing.T, person string) []byte {
	t.Helper()
	tool := func(name string) string {
		for _, dir := range []string{"", "/usr/sbin/"} {
			if path, err := exec.LookPath(dir + name); err == nil {
				return path
			}
		}
		skipWithout(t, name)
		return name
	}
	kdc := tool("krb5kdc")
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	free.Close()
	dir := t.TempDir()
	fill := strings.NewReplacer("{port}", port, "{dir}", dir)
	config := filepath.Join(chromium.folder, "krb5.conf")
	for name, text := range map[string]string{config: kerberosConfiguration, filepath.Join(dir, "kdc.conf"): kdcConfiguration} {
		if err := os.WriteFile(name, []byte(fill.Replace(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := append(os.Environ(), "KRB5_CONFIG="+config, "KRB5_KDC_PROFILE="+filepath.Join(dir, "kdc.conf"), "KRB5CCNAME=FILE:"+filepath.Join(chromium.folder, "tickets"), "KRB5RCACHENAME=none:")
	run := func(input, name string, arguments ...string) {
		t.Helper()
		c := exec.Command(tool(name), arguments...)
		c.Env, c.Dir, c.Stdin = env, dir, strings.NewReader(input)
		if out, err := c.CombinedOutput(); err != nil || strings.Contains(string(out), "rror") {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(arguments, " "), err, out)
		}
	}
	keytab := filepath.Join(dir, "keytab")
	run("", "kdb5_util", "-P", "master", "create", "-s")
	run("", "kadmin.local", "-q", "addprinc -pw secret "+person)
	run("", "kadmin.local", "-q", "addprinc -randkey HTTP/localhost")
	run("", "kadmin.local", "-q", "ktadd -k "+keytab+" HTTP/localhost")
	c := exec.Command(kdc, "-n")
	c.Env, c.Dir = env, dir
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "kdc.log"))
			t.Logf("the KDC said:\n%s", text)
		}
	})
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp4", "127.0.0.1:"+port); err == nil {
			conn.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("the KDC does not start")
		}
	}
	run("secret\n", "kinit", person)
	t.Cleanup(func() { os.Remove(filepath.Join(chromium.folder, "tickets")) })
	text, err := os.ReadFile(keytab)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestComesInWithAKerberosTicket signs in with a ticket that the person got when he logged in to his desktop: nothing is typed.
func TestComesInWithAKerberosTicket(t *testing.T) {
	b := own(t)
	if !chromium.certified() {
		t.Skip("the browser has no policy of its own, which takes root and Debian's libnss3-tools")
	}
	keytab := kerberos(t, "kerry")
	s := shared(t)
	s.apply(person("kerry", ""), fmt.Sprintf(`
kind: IdentityProvider
name: kerberos
spec:
  type: local
  parent: local
  name: Example Inc.
  publicID: https://trine.example.com/kerberos
  pathPrefix: /kerberos
  authentication:
    matrix: [{first: Kerberos}]
    kerberosDomain: EXAMPLE.TEST
    kerberos: {keytab: %s}
  profiles: {openid: {enabled: true}}
`, base64.StdEncoding.EncodeToString(keytab)))
	p := s.demo("demo-kerberos", "kerberos", "")
	b.begin(p)
	b.looks("factor-kerberos")
	b.press(buttonGoOn)
	b.arrives(p, "kerry")
}
