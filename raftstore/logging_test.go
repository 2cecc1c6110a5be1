package raftstore

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestLoneVoterElectsItselfQuietly(t *testing.T) {
	const election = "heartbeat timeout reached, starting election"
	for _, tc := range []struct {
		name, message string
		alone, shown  bool
	}{
		{"election of one", election, true, false},
		{"election among several", election, false, true},
		{"a node is away", "failed to heartbeat to", false, false},
		{"another warning of one", "failed to get previous log", true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			l := hclogger(slog.New(slog.NewTextHandler(&out, nil)), "raft", tc.alone)
			l.Warn(tc.message)
			l.Error("an error")
			if got := strings.Contains(out.String(), tc.message); got != tc.shown {
				t.Errorf("shown is %v, want %v: %s", got, tc.shown, out.String())
			}
			if !strings.Contains(out.String(), "level=ERROR") {
				t.Error("the error is not shown")
			}
		})
	}
}
