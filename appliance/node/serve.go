package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/coreos/go-systemd/v22/daemon"

	"trine/protocols/radius/dictionary"
)

// version is set by the linker.
var version string

// Version returns the version that this binary was built as.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// sound reports whether what serves devices runs.
func (n *Node) sound() bool {
	t, f := n.tacacs.Load(), n.web.Load()
	return n.radius.Load().Err() == nil && (t == nil || t.Err() == nil) && (f == nil || f.Err() == nil)
}

// Serve runs a node until ctx ends, tells the service manager how it does, and stops it in order. A node that is to start again, because it founded a
// cluster or another node's state took the place of its own, does so within the process. The error is nil after an orderly stop.
func Serve(ctx context.Context, s *Settings) error {
	logger, err := newLogger(s)
	if err != nil {
		return err
	}
	if err := calmMonitor(); err != nil {
		logger.Debug("the runtime's monitor stays as it is", "error", err)
	}
	running, stopRunning := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRunning()
	go boundGarbage(running)
	for {
		err := serveOnce(ctx, s, logger)
		var again *againError
		if !errors.As(err, &again) || ctx.Err() != nil {
			return err
		}
		logger.Info("starting again within the process", "reason", again.reason)
	}
}

// serveOnce runs a node through one life.
func serveOnce(ctx context.Context, s *Settings, logger *slog.Logger) error {
	n, err := Start(ctx, s, logger)
	if err != nil {
		return err
	}
	addresses := n.Addresses()
	logger.Info("serving", "version", Version(), "node", s.NodeName, "data", s.Data, "radius_authentication", addresses.RadiusAuthentication,
		"radius_accounting", addresses.RadiusAccounting, "tacacs", addresses.Tacacs, "tacacs_tls", addresses.TacacsTLS, "web", addresses.Web, "management", "https://"+addresses.Management, "cluster", addresses.Cluster)
	notify(logger, daemon.SdNotifyReady)
	watching, stopWatching := context.WithCancel(ctx)
	go watchdog(watching, logger, n.sound)
	failed := n.Wait(ctx)
	stopWatching()

	var again *againError
	if errors.As(failed, &again) {
		notify(logger, daemon.SdNotifyReloading)
	} else {
		notify(logger, daemon.SdNotifyStopping)
	}
	logger.Info("stopping", "within", s.ShutdownWithin)
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.ShutdownWithin)
	defer cancel()
	if err := n.Stop(stopping); err != nil {
		logger.Warn("not everything could be finished in time; nothing that was answered is lost", "error", err)
	}
	logger.Info("stopped")
	return failed
}

func newLogger(s *Settings) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		return nil, fmt.Errorf("log-level: %w", err)
	}
	options := &slog.HandlerOptions{Level: level}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options)), nil
}

// dictionaries reads the built-in dictionaries and the administrator's on top of them, in the order that they are listed in;
// they include each other by their file names.
func dictionaries(files []string) (*dictionary.Dictionary, error) {
	d, err := dictionary.Standard()
	if err == nil && len(files) > 0 {
		var own []dictionary.File
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("read the RADIUS dictionaries: %w", err)
			}
			own = append(own, dictionary.File{Name: filepath.Base(path), Text: string(text)})
		}
		d, err = d.With(own...)
	}
	if err != nil {
		return nil, fmt.Errorf("read the RADIUS dictionaries: %w", err)
	}
	return d, nil
}
