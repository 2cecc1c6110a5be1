package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// testNodes is how many nodes the fixed seeds hurt.
const testNodes = 3

// built builds this command and the node, with tags more than its own, and returns where they are.
func built(t *testing.T, tags string) (command, node string) {
	t.Helper()
	folder := t.TempDir()
	command, node = filepath.Join(folder, "robust"), filepath.Join(folder, "trine")
	for _, arguments := range [][]string{
		{"build", "-o", command, "."},
		{"build", "-tags", "trine_clock," + tags, "-o", node, "../../cmd/trine"},
	} {
		if out, err := exec.Command("go", arguments...).CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v: %s", arguments, err, out)
		}
	}
	return command, node
}

// robust runs the command and reports whether all runs passed, and what it said. It skips the test where the machine cannot do it.
func robust(t *testing.T, command string, arguments ...string) (passed bool, said string) {
	t.Helper()
	out, err := exec.Command(command, arguments...).CombinedOutput()
	var status *exec.ExitError
	if errors.As(err, &status) && status.ExitCode() == impossibleStatus {
		t.Skipf("this machine cannot do it: %s", out)
	}
	if err != nil && !errors.As(err, &status) {
		t.Fatal(err)
	}
	return err == nil, string(out)
}

func TestFixedSeedsLoseNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes two minutes")
	}
	command, node := built(t, "")
	passed, said := robust(t, command, "-trine", node, "-nodes", fmt.Sprint(testNodes), "-seed", "1", "-runs", "3", "-time", "30s")
	t.Log(said)
	if !passed {
		t.Error("a promise is broken; the seed is above")
	}
}

// TestBrokenRulesAreFound builds nodes that break a rule each, and demands that they are found out.
func TestBrokenRulesAreFound(t *testing.T) {
	if testing.Short() {
		t.Skip("builds three nodes")
	}
	// t.TempDir is too long a path for a node's socket.
	folder, err := os.MkdirTemp("", "broken-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	for _, c := range []struct{ tag, faults, finding string }{
		// A record is acknowledged when raft was handed it, and not when it is on disk.
		{"trine_break_ack", "power", "acknowledged and not on"},
		// The log is cut before what a seal wrote is on disk.
		{"trine_break_syncfs", "power", "is damaged|acknowledged and not on"},
		// A proposal takes effect although what it expects does not hold.
		{"trine_break_expectation", "pause", "is not linearizable"},
	} {
		t.Run(c.tag, func(t *testing.T) {
			command, node := built(t, c.tag)
			passed, said := robust(t, command, "-trine", node, "-nodes", "1", "-seed", "1", "-time", "15s", "-faults", c.faults, "-folder", folder)
			t.Log(said)
			if passed {
				t.Errorf("a node built with %s passes: what it breaks is not tested", c.tag)
			}
			if !regexp.MustCompile(c.finding).MatchString(said) {
				t.Errorf("what it broke was not found; it would be told as %q", c.finding)
			}
		})
	}
}
