package node

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
)

// fill takes all space of a disk, root's reserve too, and returns what gives it back.
func (d disk) fill(t *testing.T) (empty func()) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(d.at, &st); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(d.at, "filler")
	// The node writes meanwhile, so what is left may be less than it was.
	for size := int64(st.Bfree) * st.Bsize; size > 0; size -= 1 << 20 {
		if exec.Command("fallocate", "-l", fmt.Sprint(size), filler).Run() == nil {
			break
		}
	}
	rest, err := os.OpenFile(filler, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer rest.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = rest.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
	}
}

// until waits for something to become true.
func until(t *testing.T, what string, node *process, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			node.kill()
			t.Fatalf("not within 20 seconds: %s\n%s", what, node.log)
		}
	}
}

func TestFullDiskStopsRecordsAndNotLogins(t *testing.T) {
	d := newDisk(t)
	data := filepath.Join(d.at, "data")
	settings := map[string]string{"minimum-free": fmt.Sprint(64 << 20), "quickstart": "true"}
	node := startWith(t, data, arguments(data, settings)...)
	settings["radius-authentication"], settings["radius-accounting"] = node.addresses.RadiusAuthentication[0], node.addresses.RadiusAccounting[0]
	n := &interop{t: t, addr: node.addresses}
	var err error
	if n.admin, err = client.New(client.Options{Data: data}); err != nil {
		t.Fatal(err)
	}
	defer n.admin.Close()
	applies := uint64(0)
	apply := func() error {
		text := fmt.Sprintf("kind: Group\nname: written\nspec:\n  description: %q\n", fmt.Sprint(time.Now()))
		_, err := n.admin.Apply(t.Context(), []client.File{{Name: "written.yaml", Data: []byte(text)}}, client.ApplyOptions{})
		if err == nil {
			applies++
		}
		return err
	}
	refused := func() bool {
		var p *api.Problem
		err := apply()
		if err != nil && (!errors.As(err, &p) || p.Reason != api.ReasonDiskFull && p.Reason != api.ReasonUncertain) {
			t.Fatalf("an apply on a full disk: %v", err)
		}
		return p != nil && p.Status == http.StatusInsufficientStorage && strings.Contains(p.Detail, "nothing was changed")
	}

	stop := make(chan struct{})
	acked, devices := load(t, netip.MustParseAddrPort(node.addresses.RadiusAccounting[0]), "testing123", 8, stop)
	recorded := func() int { return len(acked.snapshot()) }
	more := func() bool { // than now
		now := recorded()
		deadline := time.Now().Add(time.Second)
		for recorded() == now && time.Now().Before(deadline) {
			time.Sleep(20 * time.Millisecond)
		}
		return recorded() > now
	}
	logins := func() {
		t.Helper()
		n.accepts(node.addresses.RadiusAuthentication[0], "testing123", "alice", "wonderland", true)
		n.accepts(node.addresses.RadiusAuthentication[0], "testing123", "bob", "builder", true)
		n.accepts(node.addresses.RadiusAuthentication[0], "testing123", "alice", "looking-glass", false)
	}
	until(t, "records", node, func() bool { return recorded() > 200 })

	empty := d.fill(t)
	until(t, "a refused apply", node, refused)
	until(t, "silence of accounting", node, func() bool { return !more() })
	logins()
	status, err := n.admin.Status(t.Context())
	if err != nil || !strings.Contains(strings.Join(status.Conditions, "\n"), "free disk space") {
		t.Errorf("the status does not tell of the full disk: %+v, %v", status, err)
	}
	// A node that was killed on a full disk starts on it, and still answers logins.
	node.kill()
	node = startWith(t, data, arguments(data, settings)...)
	logins()
	if !refused() {
		t.Error("an apply was taken on a full disk after a restart")
	}
	if more() {
		t.Error("accounting was acknowledged on a full disk after a restart")
	}

	empty()
	until(t, "healing", node, func() bool { return apply() == nil })
	until(t, "records after healing", node, more)
	logins()
	close(stop)
	devices.Wait()
	book := ledger{records: map[record]int{}}
	book.read(t, n.admin)
	book.check(t, acked.snapshot(), applies)
	node.quit(t)
	node = startWith(t, data, arguments(data, settings)...)
	book = ledger{records: map[record]int{}}
	book.read(t, n.admin)
	book.check(t, acked.snapshot(), applies)
	node.quit(t)
}
