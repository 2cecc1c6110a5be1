package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"trine/appliance/admin/admintest"
	"trine/appliance/admin/client"
	"trine/engine/event"
)

var update = flag.Bool("update", false, "write generated files anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"trine": func() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// nodeKey is under which a script's node stands in its environment.
type nodeKey struct{}

// TestScripts runs the scenarios of testdata/script, each against a node in memory that listens on a socket in $WORK/data.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"TRINE_DATA", "TRINE_SERVER", "TRINE_API_KEY", "TRINE_CA"} {
				env.Setenv(name, "")
			}
			env.Setenv("TZ", "UTC")
			env.Setenv("NO_COLOR", "1")
			n, err := admintest.Start(slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			env.Values[nodeKey{}] = n
			env.Defer(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				if err := n.Stop(ctx); err != nil {
					env.T().Log(err)
				}
			})
			dir := filepath.Join(env.WorkDir, "data")
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			return n.Admin.ServeSocket(filepath.Join(dir, client.SocketName))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":       exits,
			"decision":    decision,
			"failures":    failures,
			"granted":     granted,
			"awaits":      awaits,
			"cmptimeless": timeless,
		},
	})
}

// exits runs a command and compares its exit code: exits CODE COMMAND ARG...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, not %d:\n%s%s", got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// failures records failed logins of today under a name, three of which lock it out from their source for an hour: failures NAME TIMES
func failures(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: failures NAME TIMES")
	}
	times, err := strconv.Atoi(args[1])
	ts.Check(err)
	var b event.Builder
	for range times {
		b.AddLoginFailed(&event.LoginFailedView{
			Name: []byte(args[0]), Source: 0xa1b2c3d4e5f60718, Factor: 1, Attempts: 3, Total: 15, Window: 3600, Duration: 3600,
		})
	}
	ts.Check(ts.Value(nodeKey{}).(*admintest.Node).Record(&b))
}

// granted records a grant, with the consent that it rests on: granted NUMBER USER CLIENT
func granted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: granted NUMBER USER CLIENT")
	}
	number, err := strconv.ParseUint(args[0], 10, 64)
	ts.Check(err)
	ts.Check(ts.Value(nodeKey{}).(*admintest.Node).Granted(number, args[1], args[2]))
}

// awaits waits for a file that something started in the background writes when it is ready: awaits FILE
func awaits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: awaits FILE")
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s was not written in time", args[0])
		}
	}
}

// took is a time that something took.
var took = regexp.MustCompile(`after [0-9.]+(µ|m|)s`)

// timeless compares files whatever the times in the first one are: cmptimeless FILE FILE
func timeless(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cmptimeless FILE FILE")
	}
	if got, want := took.ReplaceAllString(ts.ReadFile(args[0]), "after N"), ts.ReadFile(args[1]); got != want {
		ts.Fatalf("found\n%swant\n%s", got, want)
	}
}

// decision records a rejected login with a fixed id: decision ID USER REASON
func decision(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: decision ID USER REASON")
	}
	id, err := event.ParseID(args[0])
	ts.Check(err)
	var b event.Builder
	streams := []uint64{event.StreamKey(event.StreamDecision, event.FormatID(id)), event.StreamKey(event.StreamUser, event.FoldName(args[1]))}
	ts.Check(b.Add(event.TypeDecided, event.ClassDecision, streams, &event.Decided{
		Id: id, Verdict: uint32(event.Reject), Reason: args[2], Client: "core", UserName: []byte(args[1]), User: args[1], Method: 1, Protocol: "radius",
		Source: []byte{127, 0, 0, 1}, AtUnixNano: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC).UnixNano(), TookMicros: 120,
		Steps: []*event.Decided_Step{{Code: 23, Subject: args[1], Detail: args[1]}, {Code: 42, Subject: "argon2id"}},
	}))
	ts.Check(ts.Value(nodeKey{}).(*admintest.Node).Record(&b))
}
