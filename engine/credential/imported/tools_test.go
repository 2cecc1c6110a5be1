package imported

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatToolsMakeNowVerifies has the tools of this machine make hashes, so that what they make in other releases than that of the
// vectors, with salts of their own choice, is covered too.
func TestWhatToolsMakeNowVerifies(t *testing.T) {
	// Of bytes that are not ASCII, one that tools meet on their command line; the longest fills more than a block of each function.
	passwords := []string{"x", "wonder länd 1", strings.Repeat("0123456789abcdef ", 9)}
	const hashlib = `
import base64, hashlib, os, sys
password, name = sys.argv[2].encode(), sys.argv[1]
def plain(b): return base64.b64encode(b).decode().rstrip("=")
salt = os.urandom(16)
if name == "scrypt":
    print("$scrypt$ln=10,r=8,p=2$%s$%s" % (plain(salt), plain(hashlib.scrypt(password, salt=salt, n=1024, r=8, p=2, dklen=32))))
elif name.startswith("s-"):
    print("{SSHA%s}%s" % (name[2:], base64.b64encode(hashlib.new("sha" + name[2:], password + salt).digest() + salt).decode()))
else:
    print("$pbkdf2-%s$1234$%s$%s" % (name, plain(salt).replace("+", "."), plain(hashlib.pbkdf2_hmac(name, password, salt, 1234)).replace("+", ".")))
`
	slapd := func(module, scheme string) []string {
		return []string{"slappasswd", "-o", "module-path=/usr/lib/ldap", "-o", "module-load=" + module, "-h", scheme, "-s"}
	}
	for _, command := range [][]string{
		{"mkpasswd", "-m", "yescrypt", "-R", "1"},
		{"mkpasswd", "-m", "scrypt", "-R", "6"},
		{"mkpasswd", "-m", "bcrypt", "-R", "4"},
		{"mkpasswd", "-m", "bcrypt-a", "-R", "4"},
		{"mkpasswd", "-m", "sha512crypt"},
		{"mkpasswd", "-m", "sha512crypt", "-R", "1000"},
		{"mkpasswd", "-m", "sha256crypt"},
		{"openssl", "passwd", "-5"},
		{"openssl", "passwd", "-6"},
		{"htpasswd", "-nbB", "-C", "4", "user"},
		{"htpasswd", "-nb2", "user"},
		{"htpasswd", "-nb5", "user"},
		{"htpasswd", "-nbs", "user"},
		{"slappasswd", "-h", "{SSHA}", "-s"},
		{"slappasswd", "-h", "{SHA}", "-s"},
		slapd("pw-sha2", "{SSHA256}"),
		slapd("pw-sha2", "{SSHA512}"),
		slapd("pw-sha2", "{SHA256}"),
		slapd("pw-sha2", "{SHA512}"),
		slapd("pw-pbkdf2", "{PBKDF2}"),
		slapd("pw-pbkdf2", "{PBKDF2-SHA256}"),
		slapd("pw-pbkdf2", "{PBKDF2-SHA512}"),
		slapd("argon2", "{ARGON2}"),
		{"python3", "-c", hashlib, "scrypt"},
		{"python3", "-c", hashlib, "sha1"},
		{"python3", "-c", hashlib, "sha256"},
		{"python3", "-c", hashlib, "sha512"},
		{"python3", "-c", hashlib, "s-256"},
		{"python3", "-c", hashlib, "s-512"},
	} {
		name := strings.Join(command, " ")
		if command[1] == "-c" {
			name = "python3 hashlib " + command[3]
		}
		t.Run(name, func(t *testing.T) {
			path, err := exec.LookPath(command[0])
			if err != nil {
				if path, err = exec.LookPath(filepath.Join("/usr/sbin", command[0])); err != nil {
					t.Skipf("%v; .ci/test-needs installs it", err)
				}
			}
			for _, p := range passwords {
				if strings.Contains(name, "bcrypt") || strings.Contains(name, "htpasswd -nbB") {
					p = p[:min(len(p), 72)] // some tools refuse what bcrypt does not look at
				}
				var said bytes.Buffer
				cmd := exec.Command(path, append(append([]string{}, command[1:]...), p)...)
				cmd.Stderr = &said
				out, err := cmd.Output()
				if err != nil {
					t.Fatalf("%v: %s", err, said.String())
				}
				text := strings.TrimPrefix(strings.TrimSpace(string(out)), "user:")
				h, err := Parse(text)
				if err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				if !h.Matches([]byte(p)) {
					t.Errorf("%s does not fit %q", text, p)
				}
				if h.Matches([]byte(p[1:] + "y")) {
					t.Errorf("%s fits another password than %q", text, p)
				}
			}
		})
	}
}
