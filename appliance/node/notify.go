package node

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notify tells the service manager how the node does (sd_notify). Without one it does nothing.
func notify(logger *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		logger.Warn("the service manager could not be told", "state", state, "error", err)
	}
}

// watchdog tells the service manager that the node is alive as often as it asks, while alive says so.
func watchdog(ctx context.Context, logger *slog.Logger, alive func() bool) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return
	}
	tick := time.NewTicker(interval / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if alive() {
				notify(logger, daemon.SdNotifyWatchdog)
			}
		}
	}
}
