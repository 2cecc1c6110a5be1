package tacacs

import (
	"sync/atomic"

	"trine/engine/credential"
	"trine/engine/trace"
	"trine/protocols/tacacs/wire"
	"trine/protocols/tally"
)

// kind says what a session is, for counting.
type kind uint8

const (
	kindAuthentication kind = iota
	kindAuthorization
	kindAccounting
	kinds
)

var kindNames = [kinds]string{"authentication", "authorization", "accounting"}

func kindOf(t wire.Type) kind { return kind(t - wire.Authentication) }

// outcome says what a session was answered.
type outcome uint8

const (
	outcomePass outcome = iota
	outcomeFail
	outcomeAsk     // GETUSER, GETPASS, GETDATA
	outcomeRestart // another authentication type is wanted
	outcomePermitted
	outcomeDenied
	outcomeRecorded // an accounting record, committed
	outcomeRepeat   // an accounting record that was committed before
	outcomeError    // the request was not processed
	outcomes
)

var outcomeNames = [outcomes]string{"pass", "fail", "ask", "restart", "permitted", "denied", "recorded", "repeat", "error"}

// cause says why a packet or a session was not processed. The faults of package wire come first, at their own numbers.
type cause uint8

const (
	causeClient cause = cause(wire.Faults) + iota
	causeSecret
	causeWrongSecret
	causeCertificate
	causeSession
	causeSingle
	causeDoomed
	causeSessions
	causeLogins
	causeRecords
	causeDraining
	causeDiscarded
	causeUnrecorded
	causeUnrendered
	causeAborted
	causeSilent
	causeGone
	causes
)

// text says what was wrong, in plain words.
func (c cause) text() string {
	if int(c) < wire.Faults {
		return wire.Fault(c).Error()
	}
	return [...]string{
		"no service provider has this source address",
		"the service provider has no shared secret that is valid now",
		"the packet makes no sense under the shared secret: secret differs?",
		"the certificate has none of the names of the service provider's devices (tacacs.certificateNames)",
		"a session that is not under way, or that waits for something else",
		"a second session on a connection without single-connect",
		"a new session on a connection that is to end, since a packet before made no sense",
		"as many sessions are under way as may be, on the connection or in all",
		"too many logins are waiting",
		"too many accounting records are waiting for their commit",
		"the node is stopping",
		"the request could not be decided; another node may be able to",
		"the accounting record could not be committed",
		"the answer cannot be sent as a packet",
		"the device gave the login up",
		"nobody answered the question of a login in time",
		"the connection ended before the answer",
	}[c-causeClient]
}

// name returns the label of a metric.
func (c cause) name() string {
	if int(c) < wire.Faults {
		return wire.Fault(c).Name()
	}
	return [...]string{
		"unknown_client", "no_secret", "wrong_secret", "certificate_name", "session_unknown", "not_single_connect", "connection_ending",
		"sessions_full", "logins_full", "records_full", "draining", "discarded", "not_recorded", "not_rendered", "aborted", "unanswered", "connection_gone",
	}[c-causeClient]
}

const methods = int(credential.ASCII) + 1

// The places of what is no login among the latencies; logins are at the place of their method.
const (
	authorizationLatency = methods + iota
	accountingLatency
	latencies
)

const reasonClasses = int(trace.ClassSystem) + 1

// counters are one loop's. Only the loop writes them; anyone may read.
type counters struct {
	_         [64]byte
	requests  [kinds]atomic.Uint64
	answers   [outcomes]atomic.Uint64
	rejects   [reasonClasses]atomic.Uint64
	dropped   [causes]atomic.Uint64
	single    atomic.Uint64 // connections that agreed on single-connect
	sessions  atomic.Int64  // under way
	logins    atomic.Int64  // that the engine has
	records   atomic.Int64
	latencies [latencies]tally.Histogram
	_         [64]byte
}

// Stats are the server's counters, over all loops, since it started. Labels are stable.
type Stats struct {
	Requests      []tally.Count // packets that began a session or went on with one, by kind: authentication, authorization, accounting
	Answers       []tally.Count // by outcome: pass, fail, ask, restart, permitted, denied, recorded, repeat, error
	Rejects       []tally.Count // failures by the reason's class: user, client, config, ...
	Dropped       []tally.Count // packets and sessions that were not processed, by cause
	Latencies     []tally.Latency
	SingleConnect uint64 // connections that carry many sessions, by agreement
	Sessions      int    // under way now, people's answers awaited included
	Logins        int    // logins and authorizations that are being decided now
	Records       int    // accounting records that wait for their commit now
}

// collect adds up the counters of all loops.
func collect(all []*counters) Stats {
	s := Stats{
		Requests: make([]tally.Count, kinds), Answers: make([]tally.Count, outcomes), Rejects: make([]tally.Count, reasonClasses),
		Dropped: make([]tally.Count, causes-1), Latencies: make([]tally.Latency, latencies),
	}
	for i := range s.Requests {
		s.Requests[i].Label = kindNames[i]
	}
	for i := range s.Answers {
		s.Answers[i].Label = outcomeNames[i]
	}
	for i := range s.Rejects {
		s.Rejects[i].Label = trace.Class(i).String()
	}
	for i := range s.Dropped { // nothing is dropped for cause 0, which is no fault
		s.Dropped[i].Label = cause(i + 1).name()
	}
	for i := range s.Latencies {
		s.Latencies[i].Kind = kindNames[kindAuthentication]
		if i < methods {
			s.Latencies[i].Method = credential.Method(i).String()
		}
	}
	s.Latencies[authorizationLatency].Kind = kindNames[kindAuthorization]
	s.Latencies[accountingLatency].Kind = kindNames[kindAccounting]
	for _, c := range all {
		tally.Add(s.Requests, c.requests[:])
		tally.Add(s.Answers, c.answers[:])
		tally.Add(s.Rejects, c.rejects[:])
		tally.Add(s.Dropped, c.dropped[1:])
		s.SingleConnect += c.single.Load()
		s.Sessions += int(c.sessions.Load())
		s.Logins += int(c.logins.Load())
		s.Records += int(c.records.Load())
		for i := range c.latencies {
			s.Latencies[i].Add(&c.latencies[i])
		}
	}
	return s
}
