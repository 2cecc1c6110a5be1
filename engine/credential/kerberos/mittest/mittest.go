// Package mittest runs Debian's MIT Kerberos for tests: its programs, and a KDC on a port of loopback, as whoever runs the test.
package mittest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Realm is where the files of a KDC are, and what its programs are told by the environment.
type Realm struct {
	Dir string   // for kdc.log, and what Config names
	Env []string // KRB5_CONFIG and the like
	// Config is the text of files by their paths, in which {port} stands for the KDC's port and {dir} for Dir.
	Config map[string]string
}

// Tool returns the path of one of MIT's programs; the test is skipped where there is none, and fails in CI.
func Tool(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing: .ci/test-needs should have installed it", name)
	}
	t.Skipf("%s is not installed (Debian: krb5-user, krb5-kdc, krb5-admin-server)", name)
	return ""
}

// Configure writes the files of Config for a port.
func (r *Realm) Configure(t testing.TB, port int) {
	t.Helper()
	fill := strings.NewReplacer("{port}", fmt.Sprint(port), "{dir}", r.Dir)
	for path, text := range r.Config {
		if err := os.WriteFile(path, []byte(fill.Replace(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Run runs one of MIT's programs and returns what it prints; the test ends where it fails.
func (r *Realm) Run(t testing.TB, input, name string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), Tool(t, name), args...)
	command.Env, command.Dir, command.Stdin = r.Env, r.Dir, strings.NewReader(input)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Admin has kadmin.local do something, which says so in words only where it fails.
func (r *Realm) Admin(t testing.TB, realm, query string) {
	t.Helper()
	if out := r.Run(t, "", "kadmin.local", "-r", realm, "-q", query); strings.Contains(out, "rror") || strings.Contains(out, "denied") {
		t.Fatalf("kadmin.local: %s: %s", query, out)
	}
}

// Serve runs the KDC of realms until the test ends. It takes no port 0: it gets one that is free, and another if somebody else was quicker.
func (r *Realm) Serve(t testing.TB, realms ...string) {
	t.Helper()
	args := []string{"-n"}
	for _, realm := range realms {
		args = append(args, "-r", realm)
	}
	for try := 1; ; try++ {
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := listener.Addr().(*net.TCPAddr).Port
		listener.Close()
		r.Configure(t, port)
		command := exec.Command(Tool(t, "krb5kdc"), args...)
		command.Env, command.Dir = r.Env, r.Dir
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = command.Wait() // that it ended is what counts
		}()
		stop := func() {
			_ = command.Process.Kill()
			<-ended
		}
		if listens(port, ended) {
			t.Cleanup(stop)
			return
		}
		stop()
		if try == 5 {
			log, _ := os.ReadFile(filepath.Join(r.Dir, "kdc.log"))
			t.Fatalf("the KDC does not start:\n%s", log)
		}
	}
}

// listens waits until the KDC answers; false if it has ended.
func listens(port int, ended chan struct{}) bool {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-ended:
			return false
		default:
		}
		if c, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return true
		}
	}
	return false
}
