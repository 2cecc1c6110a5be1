package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trine/appliance/admin/client"
)

// arguments are a node's command line over a data directory, on ports of the system's choice, with some settings changed.
func arguments(data string, changed map[string]string) []string {
	settings := map[string]string{
		"data": data, "node-name": "test", "radius-authentication": "127.0.0.1:0", "radius-accounting": "127.0.0.1:0", "tacacs-listen": "127.0.0.1:0",
		"web-listen": "127.0.0.1:0", "management-listen": "127.0.0.1:0", "radius-loops": "1", "log-level": "error",
	}
	maps.Copy(settings, changed)
	var list []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		list = append(list, "--"+name+"="+settings[name])
	}
	return list
}

// attempt runs a node that is expected to end by itself, and returns its exit code and what it says on standard error.
func attempt(t *testing.T, arguments ...string) (code int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, os.Args[0], arguments...)
	command.Env = append(os.Environ(), asNode+"=serve")
	var log bytes.Buffer
	command.Stderr = &log
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("the node runs although it should refuse:\n%s", &log)
	}
	return command.ProcessState.ExitCode(), log.String()
}

// refused runs a node that must not start: it ends with exit code 1 and says every one of the wanted texts.
func refused(t *testing.T, arguments []string, want ...string) {
	t.Helper()
	code, said := attempt(t, arguments...)
	t.Log(strings.TrimSpace(said))
	if code != 1 {
		t.Errorf("exit code: expected 1, found %d", code)
	}
	for _, text := range want {
		if !strings.Contains(said, text) {
			t.Errorf("%q is not in what the node says", text)
		}
	}
	if strings.Contains(said, "goroutine ") {
		t.Error("the node panicked")
	}
}

// tree returns what is below a directory: names, modes and contents.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %x", sha256.Sum256(content))
		}
		found[path] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// same reports what changed below a directory.
func same(t *testing.T, before, after map[string]string) {
	t.Helper()
	for path, text := range after {
		switch was, ok := before[path]; {
		case !ok:
			t.Errorf("the refusal made %s", path)
		case was != text:
			t.Errorf("the refusal changed %s: it was %s, it is %s", path, was, text)
		}
	}
	for path := range before {
		if _, ok := after[path]; !ok {
			t.Errorf("the refusal removed %s", path)
		}
	}
}

// used returns the data directory of a node that has recorded accounting, as it is after an orderly stop or a kill, and what
// was acknowledged.
func used(t *testing.T, killed bool) (data string, known []record) {
	t.Helper()
	data = t.TempDir()
	node := startProcess(t, data, nil)
	stop := make(chan struct{})
	acked, devices := load(t, netip.MustParseAddrPort(node.addresses.RadiusAccounting[0]), "testing123", 8, stop)
	for deadline := time.Now().Add(20 * time.Second); len(acked.snapshot()) < 500; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d records were acknowledged", len(acked.snapshot()))
		}
	}
	close(stop)
	devices.Wait()
	known = acked.snapshot()
	if killed {
		node.kill()
	} else {
		node.quit(t)
	}
	return data, known
}

// copied copies a data directory, holes as holes.
func copied(t *testing.T, data string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	sh(t, "cp", "-a", "--sparse=always", data, to)
	return to
}

// intact starts a node over a data directory and looks whether all that was acknowledged is there, once.
func intact(t *testing.T, data string, known []record) {
	t.Helper()
	node := startProcess(t, data, nil)
	c, err := client.New(client.Options{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	book := ledger{records: map[record]int{}}
	book.read(t, c)
	book.check(t, known, 0)
	node.quit(t)
}

func TestForeignDataDirectoryIsRefusedAndLeftAlone(t *testing.T) {
	data, known := used(t, false)
	identity := filepath.Join("log", "node.json")
	for _, c := range []struct {
		name     string
		damage   func(t *testing.T, data string)
		settings map[string]string
		want     []string
	}{
		{"another node's", nil, map[string]string{"node-name": "other"}, []string{identity, `"other"`, `"test"`, "another node", "--node-name", "--data"}},
		{"a newer format", func(t *testing.T, data string) {
			change(t, filepath.Join(data, identity), func(b []byte) []byte {
				return bytes.Replace(b, []byte(`"format": 2`), []byte(`"format": 99`), 1)
			})
		}, nil, []string{identity, "format 99", "reads format 2", "newer", "the release that wrote it"}},
		{"an older format", func(t *testing.T, data string) {
			change(t, filepath.Join(data, identity), func(b []byte) []byte {
				return bytes.Replace(b, []byte(`"format": 2`), []byte(`"format": 1`), 1)
			})
		}, nil, []string{identity, "format 1", "reads format 2", "before the first release", "empty data directory"}},
		{"a key that is missing", func(t *testing.T, data string) {
			if err := os.Remove(filepath.Join(data, nodeKeyName)); err != nil {
				t.Fatal(err)
			}
		}, nil, []string{nodeKeyName, "missing", "restore it from a backup"}},
		{"a key that others may read", func(t *testing.T, data string) {
			if err := os.Chmod(filepath.Join(data, nodeKeyName), 0o640); err != nil {
				t.Fatal(err)
			}
		}, nil, []string{nodeKeyName, "0640", "chmod 600"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := copied(t, data)
			if c.damage != nil {
				c.damage(t, data)
			}
			before := tree(t, data)
			refused(t, arguments(data, c.settings), c.want...)
			same(t, before, tree(t, data))
		})
	}
	intact(t, data, known)
}

func change(t *testing.T, path string, with func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := with(bytes.Clone(b))
	if bytes.Equal(b, changed) {
		t.Fatalf("nothing in %s was changed", path)
	}
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDataDirectoryInUseIsRefusedAndItsNodeRunsOn(t *testing.T) {
	data := t.TempDir()
	node := startProcess(t, data, nil)
	refused(t, arguments(data, nil), filepath.Join(data, "log"), "in use", "stop the node", "--data")
	for _, name := range []string{addressesName, client.SocketName} {
		if _, err := os.Stat(filepath.Join(data, name)); err != nil {
			t.Errorf("the running node's %s is gone: %v", name, err)
		}
	}
	c, err := client.New(client.Options{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("the running node does not answer any more: %v", err)
	}
	node.quit(t)
}

// flipped damages one bit; at says of which byte.
func flipped(at func([]byte) int) func([]byte) []byte {
	return func(b []byte) []byte {
		b[at(b)] ^= 0x20
		return b
	}
}

func halved(b []byte) []byte { return b[:len(b)/2] }

func emptied([]byte) []byte { return nil }

func first([]byte) int { return 0 }

func middle(b []byte) int { return len(b) / 2 }

// within returns an offset at which a text stands, with as much of the file's content before it as after it.
func within(text string) func([]byte) int {
	return func(b []byte) int {
		from := len(bytes.TrimRight(b, "\x00")) / 2
		return from + bytes.Index(b[from:], []byte(text))
	}
}

// TestDamageIsNamed damages one file after the other. Each is put back after the refusal, so the node that starts at the end
// shows too that no refusal harmed anything.
func TestDamageIsNamed(t *testing.T) {
	const restore = "restore it from a backup"
	type damage struct {
		name string
		file string // pattern
		with func([]byte) []byte
		want []string
	}
	for _, c := range []struct {
		name    string
		killed  bool
		damages []damage
	}{
		{"after an orderly stop", false, []damage{
			{"identity flipped", "log/node.json", flipped(first), []string{"node.json is damaged", "restore"}},
			{"identity cut off", "log/node.json", halved, []string{"node.json is damaged", "restore"}},
			{"SEAL flipped", "log/SEAL", flipped(middle), []string{"SEAL is damaged", "checksum", "restore"}},
			{"SEAL cut off", "log/SEAL", halved, []string{"SEAL is damaged", "restore"}},
			{"SEAL empty", "log/SEAL", emptied, []string{"SEAL is damaged", "restore"}},
			{"state flipped", "log/state-1/*.rows", flipped(middle), []string{"state-1", ".rows is damaged at offset", "restore"}},
			{"state cut off", "log/state-1/*.rows", halved, []string{".rows is damaged at offset", "restore"}},
			{"state empty", "log/state-1/*.rows", emptied, []string{".rows is damaged at offset 0", "restore"}},
			{"history cut off", "log/history/4-*/*.sst", halved, []string{"history/4-", ".sst is damaged at offset", "restore"}},
			{"history's list flipped", "log/history/4-*/MANIFEST", flipped(middle), []string{"history/4-", "MANIFEST is damaged", "restore"}},
			{"history's list empty", "log/history/4-*/MANIFEST", emptied, []string{"history/4-", "MANIFEST is damaged", "restore"}},
			{"node key cut off", "node.key", halved, []string{"node.key", restore}},
			{"node key empty", "node.key", emptied, []string{"node.key", "not a node key file"}},
			{"node key changed", "node.key", flipped(middle), []string{"node.key"}},
			{"management key cut off", "management.key", halved, []string{"management.crt", "remove it and its key"}},
			{"management certificate flipped", "management.crt", flipped(first), []string{"management.crt", "remove it and its key"}},
		}},
		{"after a kill", true, []damage{
			{"a record of the log flipped", "log/wal/*.wal", flipped(within("nas-3-")), []string{".wal is damaged at offset ", "restore"}},
			{"the log's header flipped", "log/wal/*.wal", flipped(first), []string{".wal is damaged at offset ", "restore"}},
			{"the log's list flipped", "log/wal/wal-meta.db", flipped(func([]byte) int { return 20 }), []string{"wal-meta.db is damaged at offset 0", "restore"}},
			{"the log's list cut off", "log/wal/wal-meta.db", func(b []byte) []byte { return b[:4096] }, []string{"wal-meta.db is damaged", "restore"}},
			{"the log's list empty", "log/wal/wal-meta.db", emptied, []string{"wal-meta.db is damaged: it is empty beside", "restore"}},
			{"the log cut off", "log/wal/*.wal", func(b []byte) []byte { return b[:within("nas-3-")(b)] }, []string{".wal is damaged", "restore"}},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, known := used(t, c.killed)
			for _, d := range c.damages {
				t.Run(d.name, func(t *testing.T) {
					files, err := filepath.Glob(filepath.Join(data, d.file))
					if err != nil || len(files) == 0 {
						t.Fatalf("no file %s (%v)", d.file, err)
					}
					whole, err := os.ReadFile(files[0])
					if err != nil {
						t.Fatal(err)
					}
					change(t, files[0], d.with)
					refused(t, arguments(data, nil), d.want...)
					if err := os.WriteFile(files[0], whole, 0o600); err != nil {
						t.Fatal(err)
					}
				})
			}
			intact(t, data, known)
		})
	}
}

// TestLostFileIsNamed removes files of a killed node, whose log is all that it has.
func TestLostFileIsNamed(t *testing.T) {
	data, _ := used(t, true)
	for _, c := range []struct {
		file string // pattern
		want []string
	}{
		{"log/wal/*.wal", []string{"-0000000000000000.wal is damaged", "no such file or directory", "restore"}},
		{"log/wal/wal-meta.db", []string{"wal-meta.db is damaged: it is missing beside", "restore"}},
		{"log/wal", []string{"wal is damaged", "restore"}},
		{"node.key", []string{"node.key is missing", "restore"}},
	} {
		t.Run(c.file, func(t *testing.T) {
			data := copied(t, data)
			files, err := filepath.Glob(filepath.Join(data, c.file))
			if err != nil || len(files) != 1 {
				t.Fatalf("found %q (%v)", files, err)
			}
			if err := os.RemoveAll(files[0]); err != nil {
				t.Fatal(err)
			}
			refused(t, arguments(data, nil), c.want...)
		})
	}
}

func TestReadOnlyDataDirectoryIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a file system takes root")
	}
	data, known := used(t, false)
	at := t.TempDir()
	sh(t, "mount", "--bind", data, at)
	t.Cleanup(func() { _ = exec.Command("umount", "--lazy", at).Run() })
	sh(t, "mount", "-o", "remount,bind,ro", at)
	before := tree(t, data)
	refused(t, arguments(at, nil), at, "read-only", "not writable", "--data")
	refused(t, arguments(filepath.Join(at, "new"), nil), at, "read-only", "--data")
	same(t, before, tree(t, data))
	intact(t, data, known)
}

func TestAddressInUseIsNamedWithItsSetting(t *testing.T) {
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	data := t.TempDir()
	for _, c := range []struct {
		setting, address string
		want             string
	}{
		{"radius-authentication", udp.LocalAddr().String(), "in use"},
		{"radius-accounting", udp.LocalAddr().String(), "in use"},
		{"management-listen", tcp.Addr().String(), "in use"},
		{"radius-authentication", "192.0.2.1:1812", "does not have that address"},
		{"management-listen", "192.0.2.1:1444", "cannot assign"},
	} {
		t.Run(c.setting+" "+c.want, func(t *testing.T) {
			refused(t, arguments(data, map[string]string{c.setting: c.address}), c.setting, c.address, c.want)
			if _, err := os.Stat(filepath.Join(data, client.SocketName)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the node that did not start left its socket: %v", err)
			}
		})
	}
	startProcess(t, data, nil).quit(t)
}

func TestSocketOfAKilledNodeIsReplaced(t *testing.T) {
	data := t.TempDir()
	node := startProcess(t, data, nil)
	node.kill()
	if _, err := os.Stat(filepath.Join(data, client.SocketName)); err != nil {
		t.Fatalf("the killed node left no socket: %v", err)
	}
	startProcess(t, data, &node.addresses).quit(t)
}

func TestPathTooLongForASocketIsRefused(t *testing.T) {
	data := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	refused(t, arguments(data, nil), "longer than", "shorter data directory")
}
