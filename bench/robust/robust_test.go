package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
)

// testNodes is how many nodes the fixed seeds hurt.
const testNodes = 1

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
	out, err := exec.Command(command, append(arguments, "-folder", t.TempDir())...).CombinedOutput()
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
