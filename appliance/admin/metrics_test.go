package admin

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"trine/engine"
	"trine/engine/credential"
	"trine/engine/policy"
	"trine/engine/state"
)

// sources has something to say for everything.
func sources() MetricSources {
	return MetricSources{
		Version: "1.2.3", Started: time.Unix(1700000000, 0), Ready: func() bool { return true },
		Log: func() LogStats {
			return LogStats{Leader: true, HasLeader: true, Committed: 12, Applied: 10, HistoryBytes: map[string]uint64{"decision": 7}, Records: 99, SealSeconds: 1.5}
		},
		Radius: func() RadiusStats {
			return RadiusStats{
				Requests: []Count{{"access", 3}, {"accounting", 4}}, Answers: []Count{{"accept", 2}}, Rejects: []Count{{"user", 1}}, Dropped: []Count{{"stranger", 5}}, Resent: 6,
				Latencies: []Latency{{Kind: "access", Method: "pap", Bounds: []time.Duration{50 * time.Microsecond, time.Millisecond}, Buckets: []uint64{1, 2, 4}, Sum: time.Second}},
			}
		},
		Tacacs: func() TacacsStats {
			return TacacsStats{
				Requests: []Count{{"authorization", 3}}, Answers: []Count{{"permitted", 2}}, Rejects: []Count{{"user", 1}}, Dropped: []Count{{"wrong_secret", 5}},
				Latencies:     []Latency{{Kind: "authorization", Bounds: []time.Duration{time.Millisecond}, Buckets: []uint64{2, 3}, Sum: time.Second}},
				SingleConnect: 1, Sessions: 4, Connections: 2, Accepted: 9, Ended: []Count{{"idle", 7}},
			}
		},
		Loops:       func() LoopStats { return LoopStats{Loops: 2, Sockets: 4, Received: 8, SendFull: 1, KernelDropped: 3} },
		State:       func() state.Counts { return state.Counts{Sessions: 5} },
		Documents:   func() map[string]int { return map[string]int{"User": 2} },
		Policy:      func() policy.Stats { return policy.Stats{Compilations: 3, Broken: 1} },
		Engine:      func() engine.Stats { return engine.Stats{Rehashed: 5, RehashesFailed: 1} },
		Credentials: func() credential.Stats { return credential.Stats{CacheHits: 11, SlowWrong: 2} },
		Workers:     func() []WorkerStats { return []WorkerStats{{Work: "passwords", Done: 13}, {Work: "scripts", Done: 14}} },
		Delivery: func() []DeliveryStats {
			return []DeliveryStats{{Channel: "mail", Delivered: 17, Retried: 2, NotTaken: []Count{{"recipient_limit", 4}}}}
		},
		Geo:         func() GeoStats { return GeoStats{Built: time.Unix(1700000000, 0), Reads: 2, Failures: 1} },
		Certificate: func() time.Time { return time.Unix(1800000000, 0) },
		Devices:     func() time.Time { return time.Unix(1900000000, 0) },
	}
}

func TestMetricsFollowTheRulesOfNames(t *testing.T) {
	r := prometheus.NewRegistry()
	r.MustRegister(&collector{src: sources()})
	problems, err := testutil.GatherAndLint(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{"version": true, "go": true, "class": true, "kind": true, "result": true, "reason_class": true, "cause": true, "method": true, "use": true, "channel": true, "work": true}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "trine_") {
			t.Errorf("%s lacks the prefix", f.GetName())
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if !allowed[l.GetName()] {
					t.Errorf("%s has the label %s: labels tell kinds of things apart, never people, addresses or devices", f.GetName(), l.GetName())
				}
			}
		}
	}
	if len(families) < 60 {
		t.Errorf("only %d families", len(families))
	}
}

func TestMetricsSayWhatTheSourcesSay(t *testing.T) {
	rec := httptest.NewRecorder()
	NewMetrics(sources()).ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	body := rec.Body.String()
	for _, want := range []string{
		`trine_log_apply_lag_entries 2`,
		`trine_radius_requests_total{kind="accounting"} 4`,
		`trine_radius_rejects_total{reason_class="user"} 1`,
		`trine_radius_request_duration_seconds_bucket{kind="access",method="pap",le="5e-05"} 1`,
		`trine_radius_request_duration_seconds_bucket{kind="access",method="pap",le="0.001"} 3`,
		`trine_radius_request_duration_seconds_bucket{kind="access",method="pap",le="+Inf"} 7`,
		`trine_radius_request_duration_seconds_count{kind="access",method="pap"} 7`,
		`trine_tacacs_requests_total{kind="authorization"} 3`, `trine_tacacs_dropped_total{cause="wrong_secret"} 5`, `trine_tacacs_connections 2`,
		`trine_tacacs_connections_ended_total{cause="idle"} 7`, `trine_tacacs_request_duration_seconds_count{kind="authorization",method=""} 5`,
		`trine_password_cache_lookups_total{result="hit"} 11`,
		`trine_worker_jobs_total{result="done",work="passwords"} 13`, `trine_worker_jobs_total{result="done",work="scripts"} 14`,
		`trine_documents{kind="User"} 2`,
		`trine_loops 2`,
		`trine_loop_sockets 4`,
		`trine_loop_receive_dropped_total 3`,
		`trine_cert_expiry_timestamp_seconds{use="management"} 1.8e+09`, `trine_cert_expiry_timestamp_seconds{use="tacacs"} 1.9e+09`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no line %q", want)
		}
	}
}
