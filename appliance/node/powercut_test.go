package node

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"trine/appliance/admin/client"
)

// disk is a small file system in a file, so that a test can cut its power: what was not synced is in the kernel's memory and
// not in the file.
type disk struct{ image, at string }

// newDisk makes a disk and mounts it. It commits its journal on its own only every 300 s, so that nothing gets there by luck.
func newDisk(t *testing.T) disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a file system takes root")
	}
	for _, tool := range []string{"mkfs.ext4", "losetup"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed (Debian packages e2fsprogs and mount)", tool)
		}
	}
	d := disk{image: filepath.Join(t.TempDir(), "disk")}
	sh(t, "truncate", "--size=2G", d.image)
	sh(t, "mkfs.ext4", "-q", "-F", d.image)
	return d.mounted(t)
}

func (d disk) mounted(t *testing.T) disk {
	t.Helper()
	d.at = t.TempDir()
	sh(t, "mount", "-o", "loop,commit=300", d.image, d.at)
	t.Cleanup(func() { _ = exec.Command("umount", "--lazy", d.at).Run() })
	return d
}

// cut returns the disk as it is when the power fails now.
func (d disk) cut(t *testing.T) disk {
	t.Helper()
	after := disk{image: filepath.Join(t.TempDir(), "disk")}
	sh(t, "cp", "--sparse=always", d.image, after.image)
	return after.mounted(t)
}

func sh(t *testing.T, command ...string) {
	t.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}

// cutUnderLoad runs a binary as a node under accounting load, cuts the power, starts it on what is left, and returns how many
// acknowledged records there were and how many of them are gone. The error says why the node would not start on what is left.
func cutUnderLoad(t *testing.T, binary string) (acknowledged, lost int, refused error) {
	t.Helper()
	d := newDisk(t)
	data := filepath.Join(d.at, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	node := startBinary(t, binary, data, nil)
	// What was made before the load is on disk: the cut is to hit records, not the making of the directory.
	sh(t, "sync", "--file-system", d.at)
	stop := make(chan struct{})
	acked, devices := load(t, netip.MustParseAddrPort(node.addresses.RadiusAccounting[0]), "testing123", 16, stop)
	time.Sleep(2 * time.Second)
	node.kill()
	after := d.cut(t)
	known := acked.snapshot()
	close(stop)
	devices.Wait()

	data = filepath.Join(after.at, "data")
	node, refused = tryBinary(t, binary, data, &node.addresses)
	if refused != nil {
		return len(known), 0, refused
	}
	c, err := client.New(client.Options{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	book := ledger{records: map[record]int{}}
	book.read(t, c)
	for _, r := range known {
		if book.records[r] == 0 {
			lost++
		}
	}
	for r, n := range book.records {
		if n > 1 {
			t.Errorf("recorded %d times: %+v", n, r)
		}
	}
	node.quit(t)
	return len(known), lost, nil
}

func TestNothingAcknowledgedIsLostByPowerCut(t *testing.T) {
	acknowledged, lost, refused := cutUnderLoad(t, os.Args[0])
	if refused != nil {
		t.Fatal(refused)
	}
	t.Logf("%d records acknowledged, %d lost", acknowledged, lost)
	if acknowledged < 100 {
		t.Errorf("only %d records were acknowledged: the load does not load", acknowledged)
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged records are lost", lost, acknowledged)
	}
}

// TestPowerCutFindsAMissingFsync shows that the test above can fail: a node built without one fsync loses records, or finds at its start
// that they are missing.
func TestPowerCutFindsAMissingFsync(t *testing.T) {
	if testing.Short() {
		t.Skip("builds another binary")
	}
	if os.Getuid() != 0 {
		t.Skip("mounting a file system takes root")
	}
	binary := filepath.Join(t.TempDir(), "node-without-fsync")
	if out, err := exec.Command("go", "test", "-c", "-tags", "nosync", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	for range 3 { // a cut right behind a seal, which syncs the whole file system, finds nothing missing
		acknowledged, lost, refused := cutUnderLoad(t, binary)
		t.Logf("%d records acknowledged, %d lost, start: %v", acknowledged, lost, refused)
		if lost > 0 || refused != nil {
			return
		}
	}
	t.Error("an fsync is missing and nothing was lost: the power cut does not test what it should")
}
