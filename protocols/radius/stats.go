package radius

import (
	"sync/atomic"

	"trine/engine/credential"
	"trine/engine/trace"
	"trine/protocols/radius/wire"
	"trine/protocols/tally"
)

// kind says what a request is, for counting.
type kind uint8

const (
	kindAccess kind = iota
	kindAccounting
	kindStatus
	kinds
)

var kindNames = [kinds]string{"access", "accounting", "status"}

// outcome says what became of a request that was answered.
type outcome uint8

const (
	outcomeAccept outcome = iota
	outcomeReject
	outcomeChallenge
	outcomeRecorded // an accounting record, committed
	outcomeRepeat   // an accounting record that was committed before
	outcomeStatus
	outcomes
)

var outcomeNames = [outcomes]string{"accept", "reject", "challenge", "recorded", "repeat", "status"}

// cause says why a packet got no answer. The faults of package wire come first, at their own numbers.
type cause uint8

const (
	causeCode cause = cause(wire.Faults) + iota
	causeClient
	causeSecret
	causeProxyState
	causeEAP
	causeStatus
	causeAccounting
	causePending
	causeLogins
	causeRecords
	causeDuplicates
	causeDraining
	causeDiscarded
	causeUnrecorded
	causeSuperseded
	causes
)

// text says what was wrong, in plain words.
func (c cause) text() string {
	if int(c) < wire.Faults {
		return wire.Fault(c).Error()
	}
	return [...]string{
		"this kind of packet does not belong on this port",
		"no service provider has this source address",
		"the service provider has no shared secret that is valid now",
		"Proxy-State without Message-Authenticator (limitProxyState is on)",
		"EAP-Message without Message-Authenticator",
		"Status-Server carries a password",
		"Accounting-Request without Acct-Status-Type, or without Acct-Session-Id where one is needed",
		"a retransmission of a request that is being worked on",
		"too many logins are waiting",
		"too many accounting records are waiting for their commit",
		"too many requests are under way",
		"the node is stopping",
		"the login could not be decided; another node may be able to",
		"the accounting record could not be committed",
		"the device sent a newer request under the same identifier",
	}[c-causeCode]
}

// name returns the label of a metric.
func (c cause) name() string {
	if int(c) < wire.Faults {
		return wire.Fault(c).Name()
	}
	return [...]string{
		"wrong_code", "unknown_client", "no_secret", "proxy_state_unsigned", "eap_unsigned", "status_with_password",
		"accounting_incomplete", "duplicate_pending", "logins_full", "records_full", "requests_full", "draining", "discarded",
		"not_recorded", "superseded",
	}[c-causeCode]
}

const methods = int(credential.MAC) + 1

const reasonClasses = int(trace.ClassSystem) + 1

// counters are one loop's. Only the loop writes them; anyone may read.
type counters struct {
	_         [64]byte
	requests  [kinds]atomic.Uint64
	answers   [outcomes]atomic.Uint64
	rejects   [reasonClasses]atomic.Uint64
	dropped   [causes]atomic.Uint64
	resent    atomic.Uint64
	logins    atomic.Int64 // under way
	records   atomic.Int64
	kept      atomic.Int64 // entries of the duplicate cache
	latencies [methods + 1]tally.Histogram
	_         [64]byte
}

// accountingLatency is the place of accounting among the latencies; logins are at the place of their method.
const accountingLatency = methods

// Stats are the server's counters, over all loops, since it started. Labels are stable.
type Stats struct {
	Requests   []tally.Count // that were authentic, by kind: access, accounting, status
	Answers    []tally.Count // by outcome: accept, reject, recorded, repeat, status
	Rejects    []tally.Count // by the reason's class: user, client, config, ...
	Dropped    []tally.Count // packets that got no answer, by cause
	Resent     uint64        // answers given again to retransmissions
	Latencies  []tally.Latency
	Logins     int // under way now
	Records    int // accounting records that wait for their commit now
	Remembered int // requests in the duplicate caches now
}

// collect adds up the counters of all loops.
func collect(all []*counters) Stats {
	s := Stats{
		Requests: make([]tally.Count, kinds), Answers: make([]tally.Count, outcomes), Rejects: make([]tally.Count, reasonClasses),
		Dropped: make([]tally.Count, causes-1), Latencies: make([]tally.Latency, methods+1),
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
	for i := range s.Dropped { // no packet is dropped for cause 0, which is no fault
		s.Dropped[i].Label = cause(i + 1).name()
	}
	for i := range s.Latencies {
		s.Latencies[i].Kind, s.Latencies[i].Method = "access", credential.Method(i).String()
	}
	s.Latencies[accountingLatency] = tally.Latency{Kind: "accounting"}
	for _, c := range all {
		tally.Add(s.Requests, c.requests[:])
		tally.Add(s.Answers, c.answers[:])
		tally.Add(s.Rejects, c.rejects[:])
		tally.Add(s.Dropped, c.dropped[1:])
		s.Resent += c.resent.Load()
		s.Logins += int(c.logins.Load())
		s.Records += int(c.records.Load())
		s.Remembered += int(c.kept.Load())
		for i := range c.latencies {
			s.Latencies[i].Add(&c.latencies[i])
		}
	}
	return s
}
