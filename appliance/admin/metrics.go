package admin

import (
	"net/http"
	"regexp"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"trine/engine"
	"trine/engine/credential"
	"trine/engine/policy"
	"trine/engine/state"
)

// MetricSources are where metrics come from. Each is asked at every scrape and must be cheap; nil ones are left out. No label ever
// holds a user, an address or a MAC: what they did is in the log.
type MetricSources struct {
	Version     string
	Started     time.Time
	Ready       func() bool
	Log         func() LogStats
	Radius      func() RadiusStats
	Tacacs      func() TacacsStats
	Web         func() WebStats // nil: there is no web front
	Loops       func() LoopStats
	State       func() state.Counts
	Documents   func() map[string]int // by kind
	Policy      func() policy.Stats
	Credentials func() credential.Stats
	Engine      func() engine.Stats
	Workers     func() []WorkerStats   // a child process each
	Delivery    func() []DeliveryStats // a channel each
	Geo         func() GeoStats
	Certificate func() time.Time // when the management certificate expires
	Devices     func() time.Time // when the certificate of TACACS+ over TLS expires; zero: there is none
	Cluster     func() ClusterStats
}

// LogStats are the counters and the state of the record log.
type LogStats struct {
	Leader                                      bool
	HasLeader                                   bool
	Term, Committed, Applied, SealIndex         uint64
	Queue                                       int
	DiskFree                                    int64
	DiskLevel                                   int               // 0: enough space; 1, 2, 3: below that many watermarks
	HistoryBytes                                map[string]uint64 // by class
	Proposed, ProposedBytes, Refused            uint64
	Batches, Entries, Records, Void, Duplicates uint64
	Fsyncs, LogBytes, HistoryWritten            uint64
	StateBytes, StateRows                       uint64
	Seals, SealsFailed                          uint64
	LeaderChanges, ClockSteps                   uint64
	ApplySeconds, SealSeconds                   float64
	MaxApplyHold                                time.Duration // longest time that a seal held Apply
}

// ClusterStats are the cluster as this node sees it, and its streams to the other nodes.
type ClusterStats struct {
	Expires   time.Time // of this node's certificate
	Authority time.Time // of the authority's
	Members   []MemberStats
	Streams   []Count // opened by either end, by what became of them
	Open      int     // streams
}

// MemberStats is one node of the cluster. How it stands is known where this node leads.
type MemberStats struct {
	Name, Role    string
	Votes, Leader bool
	Known         bool   // whether it told how it stands
	Lag           uint64 // entries that it has to apply still
	Expires       time.Time
}

// Count is one of several counters, with what tells it apart.
type Count struct {
	Label string
	Count uint64
}

// Latency is one histogram of how long answers took.
type Latency struct {
	Kind, Method string
	// Bounds are the upper bounds of the buckets; Buckets count what fell into each, not cumulated, and have one more, which has
	// no upper bound.
	Bounds  []time.Duration
	Buckets []uint64
	Sum     time.Duration
}

// RadiusStats are the counters and the state of the RADIUS server.
type RadiusStats struct {
	Requests   []Count // that were authentic, by kind
	Answers    []Count // by outcome
	Rejects    []Count // by the class of the reason
	Dropped    []Count // packets that got no answer, by cause
	Resent     uint64  // answers given again to retransmissions
	Latencies  []Latency
	Logins     int // under way
	Records    int // accounting records that wait for their commit
	Remembered int // requests in the duplicate caches
}

// TacacsStats are the counters and the state of the TACACS+ server, its connections included.
type TacacsStats struct {
	Requests                        []Count // packets of sessions, by kind
	Answers                         []Count // by outcome
	Rejects                         []Count // by the class of the reason
	Dropped                         []Count // packets and sessions that were not processed, by cause
	Latencies                       []Latency
	SingleConnect                   uint64 // connections that agreed to carry many sessions
	Sessions                        int    // under way
	Logins                          int    // logins and authorizations that are being decided
	Records                         int    // accounting records that wait for their commit
	Connections, HandshakesUnderWay int
	Accepted, Handshakes            uint64  // connections, and TLS handshakes that succeeded
	Ended                           []Count // connections that were refused or closed, by cause
	BytesIn, BytesOut               uint64
}

// WebStats are the counters and the state of the web front.
type WebStats struct {
	Requests, Pages                      uint64
	Logins, Refused, Logouts             uint64 // logins that were done, rounds that were refused
	Accepted, Rejected, Displaced        uint64 // connections; displaced: made to go for others
	CallsDone, CallsFailed, CallsDropped uint64 // to service providers, of logouts
	UnknownHosts, BadForms               uint64
	Connections, CallsWaiting            int
}

// LoopStats are the counters of the packet loops together.
type LoopStats struct {
	Loops, Sockets                                                int
	Received, ReceiveCalls, Sent, SendCalls, SendFull, SendFailed uint64
	KernelDropped                                                 uint64 // datagrams that came while a socket's buffer was full
}

// WorkerStats are the counters and the state of one child process.
type WorkerStats struct {
	Work                                                                      string // what it does
	Queued, UnderWay                                                          int
	Submitted, Done, Refused, Late, Failed, Retried, Starts, Deaths, Overtime uint64
}

// DeliveryStats are the counters and the state of one channel of messages to people.
type DeliveryStats struct {
	Channel                             string
	Waiting, UnderWay                   int
	Delivered, Refused, Failed, Retried uint64
	NotTaken                            []Count // by cause
}

// GeoStats say how the geo database is.
type GeoStats struct {
	Built           time.Time // when the database in use was made
	Reads, Failures uint64    // of its file
}

// NewMetrics returns the handler of /metrics, in the Prometheus and OpenMetrics text formats.
func NewMetrics(src MetricSources) http.Handler {
	r := prometheus.NewRegistry()
	// Beside the usual ones: the processor time that garbage collection takes, and all that the process could have taken.
	times := collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/cpu/classes/(gc/)?total:`)}
	r.MustRegister(&collector{src: src}, collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(times)), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// collector makes metrics out of what the sources say, at the time of a scrape: nothing is counted twice, and the hot paths know
// nothing of Prometheus. It is unchecked (it describes nothing), since which labels there are is the sources' to say.
type collector struct{ src MetricSources }

// Describe implements prometheus.Collector.
func (*collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	e := emitter{ch}
	s := &c.src
	e.gauge("trine_build_info", "Always 1; the labels say what runs.", 1, "version", s.Version, "go", runtime.Version())
	if !s.Started.IsZero() {
		e.gauge("trine_start_time_seconds", "When the node started, in seconds since 1970.", seconds(s.Started))
	}
	if s.Ready != nil {
		e.gauge("trine_ready", "1 if the node can authenticate.", truth(s.Ready()))
	}
	if s.Log != nil {
		e.log(s.Log())
	}
	if s.Radius != nil {
		e.radius(s.Radius())
		e.tacacs(s.Tacacs())
		if s.Web != nil {
			e.web(s.Web())
		}
	}
	if s.Loops != nil {
		e.loops(s.Loops())
	}
	if s.State != nil {
		e.state(s.State())
	}
	if s.Documents != nil {
		for kind, n := range s.Documents() {
			e.gauge("trine_documents", "Documents in force, by kind.", float64(n), "kind", kind)
		}
	}
	if s.Policy != nil {
		e.policy(s.Policy())
	}
	if s.Credentials != nil {
		e.credentials(s.Credentials())
	}
	if s.Engine != nil {
		e.rehashes(s.Engine())
	}
	if s.Workers != nil {
		for _, w := range s.Workers() {
			e.worker(&w)
		}
	}
	if s.Delivery != nil {
		for _, d := range s.Delivery() {
			e.delivery(&d)
		}
	}
	if s.Geo != nil {
		g := s.Geo()
		e.gauge("trine_geo_database_build_timestamp_seconds", "When the geo database in use was made, in seconds since 1970.", seconds(g.Built))
		e.counter("trine_geo_database_reads_total", "Times that the file of the geo database was read, by result.", float64(g.Reads), "result", "used")
		e.counter("trine_geo_database_reads_total", "Times that the file of the geo database was read, by result.", float64(g.Failures), "result", "refused")
	}
	if s.Cluster != nil {
		e.cluster(s.Cluster())
	}
	for _, c := range [...]struct {
		use     string
		expires func() time.Time
	}{{"management", s.Certificate}, {"tacacs", s.Devices}} {
		if c.expires == nil {
			continue
		}
		if at := c.expires(); !at.IsZero() {
			e.gauge("trine_cert_expiry_timestamp_seconds", "When a certificate expires, in seconds since 1970.", seconds(at), "use", c.use)
		}
	}
}

// emitter writes metrics.
type emitter struct{ ch chan<- prometheus.Metric }

// counter writes a counter. Labels are pairs of name and value.
func (e emitter) counter(name, help string, v float64, labels ...string) {
	e.constant(prometheus.CounterValue, name, help, v, labels)
}

// gauge writes a gauge.
func (e emitter) gauge(name, help string, v float64, labels ...string) {
	e.constant(prometheus.GaugeValue, name, help, v, labels)
}

func (e emitter) constant(kind prometheus.ValueType, name, help string, v float64, pairs []string) {
	names, values := unzip(pairs)
	e.ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, v, values...)
}

func (e emitter) counts(name, help, label string, counts []Count) {
	for _, c := range counts {
		e.counter(name, help, float64(c.Count), label, c.Label)
	}
}

func (e emitter) histogram(name, help string, l *Latency, pairs ...string) {
	names, values := unzip(pairs)
	buckets := make(map[float64]uint64, len(l.Bounds))
	var total uint64
	for i, n := range l.Buckets {
		if total += n; i < len(l.Bounds) {
			buckets[l.Bounds[i].Seconds()] = total
		}
	}
	e.ch <- prometheus.MustNewConstHistogram(prometheus.NewDesc(name, help, names, nil), total, l.Sum.Seconds(), buckets, values...)
}

func unzip(pairs []string) (names, values []string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		names, values = append(names, pairs[i]), append(values, pairs[i+1])
	}
	return names, values
}

func (e emitter) cluster(c ClusterStats) {
	e.gauge("trine_cert_expiry_timestamp_seconds", "When a certificate expires, in seconds since 1970.", seconds(c.Expires), "use", "cluster")
	e.gauge("trine_cert_expiry_timestamp_seconds", "When a certificate expires, in seconds since 1970.", seconds(c.Authority), "use", "cluster authority")
	for _, m := range c.Members {
		e.gauge("trine_cluster_node_voter", "1 if a node of the cluster votes.", truth(m.Votes), "node", m.Name, "role", m.Role)
		e.gauge("trine_cluster_node_leader", "1 if a node leads, as far as this one knows.", truth(m.Leader), "node", m.Name)
		e.gauge("trine_cluster_node_cert_expiry_timestamp_seconds", "When a node's certificate expires, in seconds since 1970.", seconds(m.Expires), "node", m.Name)
		if m.Known {
			e.gauge("trine_cluster_node_lag_entries", "Entries that a node has to apply still; told by the leader, of nodes that answer it.", float64(m.Lag), "node", m.Name)
		}
	}
	e.counts("trine_cluster_streams_total", "Streams between this node and others, by what became of them.", "outcome", c.Streams)
	e.gauge("trine_cluster_streams", "Streams between this node and others that are open.", float64(c.Open))
}

func (e emitter) log(l LogStats) {
	e.gauge("trine_log_leader", "1 if this node leads.", truth(l.Leader))
	e.gauge("trine_log_has_leader", "1 if this node knows a leader.", truth(l.HasLeader))
	e.gauge("trine_log_term", "Term of the log.", float64(l.Term))
	e.gauge("trine_log_committed_index", "Index of the last committed entry.", float64(l.Committed))
	e.gauge("trine_log_applied_index", "Index of the last applied entry.", float64(l.Applied))
	e.gauge("trine_log_apply_lag_entries", "Entries that are committed and not applied yet.", float64(l.Committed)-float64(min(l.Applied, l.Committed)))
	e.gauge("trine_log_seal_index", "Index of the last seal.", float64(l.SealIndex))
	e.gauge("trine_log_queue_records", "Records that wait for their commit.", float64(l.Queue))
	e.gauge("trine_disk_free_bytes", "Free space on the data directory's file system.", float64(l.DiskFree))
	e.gauge("trine_disk_watermark", "Watermarks of free space that are passed; at 3 records are refused.", float64(l.DiskLevel))
	for class, n := range l.HistoryBytes {
		e.gauge("trine_history_bytes", "Size of history on disk, by class.", float64(n), "class", class)
	}
	e.counter("trine_log_proposed_records_total", "Records proposed by this node.", float64(l.Proposed))
	e.counter("trine_log_proposed_bytes_total", "Bytes of batches proposed by this node.", float64(l.ProposedBytes))
	e.counter("trine_log_refused_records_total", "Records refused at once: queue or disk full.", float64(l.Refused))
	e.counter("trine_log_batches_total", "Batches handed to raft.", float64(l.Batches))
	e.counter("trine_log_entries_total", "Entries applied.", float64(l.Entries))
	e.counter("trine_log_records_total", "Records applied.", float64(l.Records))
	e.counter("trine_log_void_records_total", "Records applied that were void.", float64(l.Void))
	e.counter("trine_log_duplicate_batches_total", "Batches that came twice and were applied once.", float64(l.Duplicates))
	e.counter("trine_log_fsyncs_total", "Times that the log was synced to disk.", float64(l.Fsyncs))
	e.counter("trine_log_written_bytes_total", "Bytes written to the log.", float64(l.LogBytes))
	e.counter("trine_history_written_bytes_total", "Bytes written to history.", float64(l.HistoryWritten))
	e.counter("trine_state_written_bytes_total", "Bytes written to the state database.", float64(l.StateBytes))
	e.counter("trine_state_written_rows_total", "Rows written to the state database.", float64(l.StateRows))
	e.counter("trine_log_seals_total", "Seals taken.", float64(l.Seals))
	e.counter("trine_log_seals_failed_total", "Seals that failed.", float64(l.SealsFailed))
	e.counter("trine_log_seal_seconds_total", "Time spent sealing.", l.SealSeconds)
	e.counter("trine_log_apply_seconds_total", "Time spent applying.", l.ApplySeconds)
	e.gauge("trine_log_apply_hold_max_seconds", "Longest time that a seal held Apply.", l.MaxApplyHold.Seconds())
	e.counter("trine_log_leader_changes_total", "Times that this node became or ceased to be the leader.", float64(l.LeaderChanges))
	e.counter("trine_clock_steps_total", "Times that the clock was found to have jumped.", float64(l.ClockSteps))
}

func (e emitter) radius(r RadiusStats) {
	e.counts("trine_radius_requests_total", "Authentic requests, by kind.", "kind", r.Requests)
	e.counts("trine_radius_answers_total", "Answers, by result.", "result", r.Answers)
	e.counts("trine_radius_rejects_total", "Rejected logins, by the class of the reason.", "reason_class", r.Rejects)
	e.counts("trine_radius_dropped_total", "Packets that got no answer, by cause.", "cause", r.Dropped)
	e.counter("trine_radius_duplicates_total", "Retransmissions that got the same answer again.", float64(r.Resent))
	e.gauge("trine_radius_logins_in_flight", "Logins under way.", float64(r.Logins))
	e.gauge("trine_radius_accounting_in_flight", "Accounting records that wait for their commit.", float64(r.Records))
	e.gauge("trine_radius_remembered_requests", "Requests in the duplicate caches.", float64(r.Remembered))
	for i := range r.Latencies {
		l := &r.Latencies[i]
		e.histogram("trine_radius_request_duration_seconds", "Time from a request's arrival to its decision or its commit; the delay of rejects is excluded.", l, "kind", l.Kind, "method", l.Method)
	}
}

func (e emitter) tacacs(t TacacsStats) {
	e.counts("trine_tacacs_requests_total", "Packets that began a session or went on with one, by kind.", "kind", t.Requests)
	e.counts("trine_tacacs_answers_total", "Answers, by result.", "result", t.Answers)
	e.counts("trine_tacacs_rejects_total", "Failed logins and authorizations, by the class of the reason.", "reason_class", t.Rejects)
	e.counts("trine_tacacs_dropped_total", "Packets and sessions that were not processed, by cause.", "cause", t.Dropped)
	e.counter("trine_tacacs_single_connect_total", "Connections that agreed to carry many sessions.", float64(t.SingleConnect))
	e.gauge("trine_tacacs_sessions_in_flight", "Sessions under way, those that wait for a person included.", float64(t.Sessions))
	e.gauge("trine_tacacs_decisions_in_flight", "Logins and authorizations that are being decided.", float64(t.Logins))
	e.gauge("trine_tacacs_accounting_in_flight", "Accounting records that wait for their commit.", float64(t.Records))
	e.gauge("trine_tacacs_connections", "Open connections.", float64(t.Connections))
	e.gauge("trine_tacacs_handshakes_in_flight", "TLS handshakes under way.", float64(t.HandshakesUnderWay))
	e.counter("trine_tacacs_connections_total", "Connections of devices that were accepted.", float64(t.Accepted))
	e.counter("trine_tacacs_handshakes_total", "TLS handshakes that succeeded.", float64(t.Handshakes))
	e.counts("trine_tacacs_connections_ended_total", "Connections that were refused or closed, by cause.", "cause", t.Ended)
	e.counter("trine_tacacs_received_bytes_total", "Bytes received on connections.", float64(t.BytesIn))
	e.counter("trine_tacacs_sent_bytes_total", "Bytes sent on connections.", float64(t.BytesOut))
	for i := range t.Latencies {
		l := &t.Latencies[i]
		e.histogram("trine_tacacs_request_duration_seconds", "Time from a request's arrival to its answer.", l, "kind", l.Kind, "method", l.Method)
	}
}

func (e emitter) web(w WebStats) {
	e.counter("trine_web_requests_total", "Requests of browsers and service providers.", float64(w.Requests))
	e.counter("trine_web_pages_total", "Pages that were shown to people.", float64(w.Pages))
	e.counter("trine_web_logins_total", "Logins that were done over pages.", float64(w.Logins))
	e.counter("trine_web_refusals_total", "Rounds of logins over pages that were refused.", float64(w.Refused))
	e.counter("trine_web_logouts_total", "Sessions that people ended.", float64(w.Logouts))
	e.counter("trine_web_unknown_hosts_total", "Requests for a host and path at which there is no identity provider.", float64(w.UnknownHosts))
	e.counter("trine_web_bad_forms_total", "Forms that were forged, expired, replayed or of another browser.", float64(w.BadForms))
	e.gauge("trine_web_connections", "Open connections.", float64(w.Connections))
	e.counter("trine_web_connections_total", "Connections that came.", float64(w.Accepted))
	e.counter("trine_web_connections_refused_total", "Connections that were closed because of a bound, or because they spoke neither TLS nor what their proxy should.", float64(w.Rejected))
	e.counter("trine_web_connections_displaced_total", "Connections that were closed to make room for others, as they had got nothing done for longest.", float64(w.Displaced))
	e.gauge("trine_web_calls_waiting", "Calls that tell service providers of logouts and are not done.", float64(w.CallsWaiting))
	e.counter("trine_web_calls_total", "Calls that told service providers of logouts, by outcome.", float64(w.CallsDone), "outcome", "done")
	e.counter("trine_web_calls_total", "Calls that told service providers of logouts, by outcome.", float64(w.CallsFailed), "outcome", "failed")
	e.counter("trine_web_calls_total", "Calls that told service providers of logouts, by outcome.", float64(w.CallsDropped), "outcome", "dropped")
}

func (e emitter) loops(l LoopStats) {
	e.gauge("trine_loops", "Event loops that serve packets.", float64(l.Loops))
	e.gauge("trine_loop_sockets", "Sockets that the event loops serve.", float64(l.Sockets))
	e.counter("trine_loop_receive_dropped_total", "Datagrams that the kernel dropped because a socket's receive buffer was full.", float64(l.KernelDropped))
	e.counter("trine_loop_received_total", "Datagrams received.", float64(l.Received))
	e.counter("trine_loop_receive_calls_total", "System calls that received them.", float64(l.ReceiveCalls))
	e.counter("trine_loop_sent_total", "Datagrams sent.", float64(l.Sent))
	e.counter("trine_loop_send_calls_total", "System calls that sent them.", float64(l.SendCalls))
	e.counter("trine_loop_send_dropped_total", "Answers that could not be sent, by cause.", float64(l.SendFull), "cause", "buffer_full")
	e.counter("trine_loop_send_dropped_total", "Answers that could not be sent, by cause.", float64(l.SendFailed), "cause", "failed")
}

func (e emitter) state(c state.Counts) {
	e.gauge("trine_sessions_active", "Live network sessions, stale ones included.", float64(c.Sessions))
	e.gauge("trine_session_reservations", "Places held for logins whose accounting has not begun.", float64(c.Reservations))
	e.gauge("trine_session_tombstones", "Ended sessions that are remembered.", float64(c.Tombstones))
	e.gauge("trine_staged_rows", "Rows of staged proposals.", float64(c.Stages))
	e.gauge("trine_state_bytes", "Memory of all rows and their indexes.", float64(c.Bytes))
	e.counter("trine_decisions_total", "Login decisions in the log since the start.", float64(c.Decisions))
	e.counter("trine_decisions_missing_total", "Login decisions that could not be recorded, as far as the log knows.", float64(c.Missing))
}

func (e emitter) policy(p policy.Stats) {
	e.counter("trine_policy_compilations_total", "Policy caches published.", float64(p.Compilations))
	e.counter("trine_policy_compiled_documents_total", "Documents compiled.", float64(p.Compiled))
	e.gauge("trine_policy_broken_documents", "Documents that cannot be used and reject what they decide.", float64(p.Broken))
	e.gauge("trine_policy_compilation_seconds", "How long the last compilation took.", p.Last.Seconds())
	e.gauge("trine_policy_index", "Log index of the last change in force.", float64(p.Index))
}

func (e emitter) credentials(c credential.Stats) {
	const cache = "trine_password_cache_lookups_total"
	e.counter(cache, "Lookups in the verified-password cache, by result.", float64(c.CacheHits), "result", "hit")
	e.counter(cache, "Lookups in the verified-password cache, by result.", float64(c.CacheMisses), "result", "miss")
	e.counter("trine_password_cache_evictions_total", "Entries evicted from the verified-password cache.", float64(c.CacheEvictions))
	e.gauge("trine_password_cache_entries", "Entries of the verified-password cache.", float64(c.CacheEntries))
	e.gauge("trine_password_cache_capacity", "Entries that the verified-password cache can hold.", float64(c.CacheSize))
	const slow, about = "trine_password_slow_total", "Slow password verifications, by what became of them."
	for _, one := range []Count{
		{"matched", c.SlowMatched},
		{"wrong", c.SlowWrong},
		{"joined", c.SlowJoined},
		{"throttled", c.SlowThrottled},
		{"refused", c.SlowRefused},
		{"late", c.SlowLate},
		{"failed", c.SlowFailed},
	} {
		e.counter(slow, about, float64(one.Count), "result", one.Label)
	}
	e.gauge("trine_password_slow_in_flight", "Slow password verifications under way.", float64(c.SlowUnderWay))
}

func (e emitter) rehashes(s engine.Stats) {
	const name, about = "trine_password_rehashes_total", "Imported passwords that a good login had re-hashed to the forms that the user type keeps, by what became of it."
	e.counter(name, about, float64(s.Rehashed), "result", "done")
	e.counter(name, about, float64(s.RehashesFailed), "result", "failed")
}

func (e emitter) worker(w *WorkerStats) {
	e.gauge("trine_worker_queue", "Jobs that wait for the child process.", float64(w.Queued), "work", w.Work)
	e.gauge("trine_worker_in_flight", "Jobs that the child process does.", float64(w.UnderWay), "work", w.Work)
	e.counter("trine_worker_submitted_total", "Jobs handed to the child process.", float64(w.Submitted), "work", w.Work)
	for _, one := range []Count{{"done", w.Done}, {"refused", w.Refused}, {"late", w.Late}, {"failed", w.Failed}} {
		e.counter("trine_worker_jobs_total", "Jobs by what became of them.", float64(one.Count), "work", w.Work, "result", one.Label)
	}
	e.counter("trine_worker_retried_total", "Jobs given to a second child.", float64(w.Retried), "work", w.Work)
	e.counter("trine_worker_starts_total", "Child processes started.", float64(w.Starts), "work", w.Work)
	e.counter("trine_worker_deaths_total", "Child processes that ended unasked.", float64(w.Deaths), "work", w.Work)
	e.counter("trine_worker_killed_total", "Child processes killed for their slowness.", float64(w.Overtime), "work", w.Work)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func (e emitter) delivery(d *DeliveryStats) {
	e.gauge("trine_delivery_waiting", "Messages to people that wait, to be tried first or again.", float64(d.Waiting), "channel", d.Channel)
	e.gauge("trine_delivery_in_flight", "Messages to people that are being handed over.", float64(d.UnderWay), "channel", d.Channel)
	const messages, about = "trine_delivery_messages_total", "Messages to people, by what became of them."
	e.counter(messages, about, float64(d.Delivered), "channel", d.Channel, "result", "delivered")
	e.counter(messages, about, float64(d.Refused), "channel", d.Channel, "result", "refused")
	e.counter(messages, about, float64(d.Failed), "channel", d.Channel, "result", "failed")
	e.counter("trine_delivery_retries_total", "Attempts at messages that failed and are followed by another.", float64(d.Retried), "channel", d.Channel)
	for _, c := range d.NotTaken {
		e.counter("trine_delivery_not_taken_total", "Messages to people that were not taken, by cause.", float64(c.Count), "channel", d.Channel, "cause", c.Label)
	}
}
