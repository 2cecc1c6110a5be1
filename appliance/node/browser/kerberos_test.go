package browser

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"trine/engine/credential/kerberos/mittest"
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
	for _, name := range []string{"krb5kdc", "kadmin.local", "kinit"} {
		mittest.Tool(t, name)
	}
	dir := t.TempDir()
	config, keytab := filepath.Join(chromium.folder, "krb5.conf"), filepath.Join(dir, "keytab")
	r := mittest.Realm{
		Dir: dir, Config: map[string]string{config: kerberosConfiguration, filepath.Join(dir, "kdc.conf"): kdcConfiguration},
		Env: append(os.Environ(), "KRB5_CONFIG="+config, "KRB5_KDC_PROFILE="+filepath.Join(dir, "kdc.conf"), "KRB5CCNAME=FILE:"+filepath.Join(chromium.folder, "tickets"), "KRB5RCACHENAME=none:"),
	}
	r.Configure(t, 0)
	r.Run(t, "", "kdb5_util", "-P", "master", "create", "-s")
	for _, query := range []string{"addprinc -pw secret " + person, "addprinc -randkey HTTP/localhost", "ktadd -k " + keytab + " HTTP/localhost"} {
		r.Admin(t, "EXAMPLE.TEST", query)
	}
	r.Serve(t, "EXAMPLE.TEST")
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "kdc.log"))
			t.Logf("the KDC said:\n%s", text)
		}
	})
	r.Run(t, "secret\n", "kinit", person)
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
