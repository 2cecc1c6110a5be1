package node

import (
	"net/http"
	"time"

	"trine/appliance/admin"
	"trine/appliance/worker"
	"trine/engine"
	"trine/engine/document"
	"trine/engine/event"
	"trine/protocols/tally"
)

// metrics answers /metrics out of what the parts of the node count.
func (n *Node) metrics(certificate time.Time) http.Handler {
	return admin.NewMetrics(admin.MetricSources{
		Version:     Version(),
		Started:     n.started,
		Ready:       func() bool { return n.ready() == nil },
		Log:         n.logStats,
		Radius:      n.radiusStats,
		Tacacs:      n.tacacsStats,
		Web:         n.webStats,
		Loops:       n.loopStats,
		State:       n.views.Counts,
		Documents:   n.documentCounts,
		Policy:      n.policies.Stats,
		Credentials: n.verifier.Stats,
		Engine:      func() engine.Stats { return n.engine.Stats() },
		Workers:     n.workerStats,
		Delivery:    n.deliveryStats,
		Geo:         n.geoStats(),
		Certificate: func() time.Time { return certificate },
		Devices:     n.devicesExpire,
		Cluster:     n.clusterStats(),
	})
}

func (n *Node) documentCounts() map[string]int {
	counts := map[string]int{}
	for _, kind := range document.Kinds() {
		counts[kind.Name] = n.views.Count(kind.Name)
	}
	return counts
}

func (n *Node) logStats() admin.LogStats {
	status, stats := n.store.Status(), n.store.Stats()
	history := map[string]uint64{}
	for _, epoch := range status.Epochs {
		history[event.Class(epoch.Class).String()] += epoch.Bytes
	}
	return admin.LogStats{
		Leader: n.store.IsLeader(), HasLeader: n.store.HasLeader(), Term: status.Term, Committed: status.Commit, Applied: status.Applied,
		SealIndex: status.SealIndex, Queue: status.Queue, DiskFree: status.DiskFree, DiskLevel: status.DiskLevel, HistoryBytes: history,
		Proposed: stats.Proposed, ProposedBytes: stats.ProposedBytes, Refused: stats.Refused, Batches: stats.Batches, Entries: stats.Entries,
		Records: stats.Records, Void: stats.Void, Duplicates: stats.Duplicates, Fsyncs: stats.Fsyncs, LogBytes: stats.LogBytes,
		HistoryWritten: stats.HistoryBytes, StateBytes: stats.StateBytes, StateRows: stats.StateRows, Seals: stats.Seals,
		SealsFailed: stats.SealsFailed, LeaderChanges: stats.LeaderChanges, ClockSteps: stats.ClockSteps, ApplySeconds: stats.ApplySeconds,
		SealSeconds: stats.SealSeconds, MaxApplyHold: stats.MaxApplyHold,
	}
}

// radiusStats is called from the first scrape on, which may come before RADIUS is answered.
func (n *Node) radiusStats() admin.RadiusStats {
	server := n.radius.Load()
	if server == nil {
		return admin.RadiusStats{}
	}
	s := server.Stats()
	out := admin.RadiusStats{
		Requests: counts(s.Requests), Answers: counts(s.Answers), Rejects: counts(s.Rejects), Dropped: counts(s.Dropped),
		Resent: s.Resent, Logins: s.Logins, Records: s.Records, Remembered: s.Remembered, Latencies: latencies(s.Latencies),
	}
	return out
}

func counts(from []tally.Count) []admin.Count {
	out := make([]admin.Count, len(from))
	for i, c := range from {
		out[i] = admin.Count{Label: c.Label, Count: c.Count}
	}
	return out
}

func (n *Node) loopStats() admin.LoopStats {
	server := n.radius.Load()
	if server == nil {
		return admin.LoopStats{}
	}
	t := server.Sockets()
	return admin.LoopStats{
		Loops: t.Loops, Sockets: t.Sockets, KernelDropped: t.KernelDropped,
		Received: t.Received, ReceiveCalls: t.ReceiveCalls, Sent: t.Sent, SendCalls: t.SendCalls, SendFull: t.SendFull, SendFailed: t.SendFailed,
	}
}

func (n *Node) workerStats() []admin.WorkerStats {
	var out []admin.WorkerStats
	for _, w := range []struct {
		work string
		of   *worker.Pool
	}{{"passwords", n.passwords.Pool}, {"scripts", n.scripts.Pool}} {
		s := w.of.Stats()
		out = append(out, admin.WorkerStats{
			Work: w.work, Queued: s.Queued, UnderWay: s.UnderWay, Submitted: s.Submitted, Done: s.Done, Refused: s.Refused, Late: s.Late,
			Failed: s.Failed, Retried: s.Retried, Starts: s.Starts, Deaths: s.Deaths, Overtime: s.Killed,
		})
	}
	return out
}

func (n *Node) deliveryStats() []admin.DeliveryStats {
	var out []admin.DeliveryStats
	for _, s := range n.delivery.Stats() {
		out = append(out, admin.DeliveryStats{
			Channel: s.Channel, Waiting: s.Waiting, UnderWay: s.UnderWay,
			Delivered: s.Delivered, Refused: s.Refused, Failed: s.Failed, Retried: s.Retried,
			NotTaken: []admin.Count{
				{Label: "unconfigured", Count: s.Unconfigured},
				{Label: "address", Count: s.Address},
				{Label: "recipient_limit", Count: s.LimitedRecipient},
				{Label: "total_limit", Count: s.LimitedTotal},
				{Label: "full", Count: s.Full},
			},
		})
	}
	return out
}

// geoStats returns what counts a geo database, or nil where there is none.
func (n *Node) geoStats() func() admin.GeoStats {
	if n.geo == nil {
		return nil
	}
	return func() admin.GeoStats {
		return admin.GeoStats{Built: n.geo.holder.Load().Built(), Reads: n.geo.reloads.Load(), Failures: n.geo.failures.Load()}
	}
}
