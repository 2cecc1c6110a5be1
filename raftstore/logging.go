package raftstore

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/hashicorp/go-hclog"
)

// hclogger lets raft log through slog. A lone voter elects itself at each start, which is worth no warning.
func hclogger(l *slog.Logger, name string, alone bool) hclog.Logger {
	h := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: name, Level: hclog.Debug, Output: io.Discard})
	h.RegisterSink(raftSink{l, alone})
	return h
}

// repeated begin what raft and its transport say again and again while a node is away; that it is away is said once, see watchLeader.
var repeated = []string{
	"failed to heartbeat to", "failed to appendEntries to", "failed to contact", "failed to decode incoming command", "failed to flush response", "failed to make requestVote RPC",
	"failed to pipeline appendEntries", "failed to start pipeline replication",
}

type raftSink struct {
	*slog.Logger
	alone bool
}

// Accept implements hclog.SinkAdapter.
func (s raftSink) Accept(name string, level hclog.Level, msg string, args ...any) {
	// What raft tells about its ordinary life is of interest to those who debug it.
	to := slog.LevelDebug
	switch level {
	case hclog.Warn:
		if !s.alone || !strings.Contains(msg, "election") {
			to = slog.LevelWarn
		}
	case hclog.Error:
		to = slog.LevelError
	}
	if slices.ContainsFunc(repeated, func(begin string) bool { return strings.HasPrefix(msg, begin) }) {
		to = slog.LevelDebug
	}
	if !s.Enabled(context.Background(), to) {
		return
	}
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			if format, ok := f[0].(string); ok {
				args[i] = fmt.Sprintf(format, f[1:]...)
			}
		}
	}
	s.Log(context.Background(), to, name+": "+msg, args...)
}

type badgerLogger struct{ *slog.Logger }

var _ badger.Logger = badgerLogger{}

// Errorf implements badger.Logger.
func (l badgerLogger) Errorf(f string, args ...any) { l.log(slog.LevelError, f, args) }

// Warningf implements badger.Logger.
func (l badgerLogger) Warningf(f string, args ...any) { l.log(slog.LevelWarn, f, args) }

// Infof implements badger.Logger.
func (l badgerLogger) Infof(f string, args ...any) { l.log(slog.LevelDebug, f, args) }

// Debugf implements badger.Logger.
func (l badgerLogger) Debugf(string, ...any) {}

func (l badgerLogger) log(level slog.Level, f string, args []any) {
	if l.Enabled(context.Background(), level) {
		l.Log(context.Background(), level, "badger: "+strings.TrimSpace(fmt.Sprintf(f, args...)))
	}
}
