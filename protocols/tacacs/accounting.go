package tacacs

import (
	"strconv"
	"time"

	"trine/engine"
	"trine/engine/event"
	"trine/protocols/tacacs/wire"
)

// record is one accounting REQUEST that waits for its commit.
type record struct {
	engine.Accounting
	session *session
	handler *handler
	source  [16]byte
	command []byte
}

// Accounted implements engine.AccountingDelivery.
func (r *record) Accounted(*engine.Accounting) { r.handler.stored.Put(r) }

// account begins to store an accounting record. The answer leaves once the record is committed, RFC 8907 section 7.
func (h *handler) account(s *session) {
	if h.recording >= h.records {
		h.fail(s.peer, &s.header, causeRecords)
		return
	}
	h.recording++
	var r *record
	if n := len(h.freeRecord); n > 0 {
		r = h.freeRecord[n-1]
		h.freeRecord = h.freeRecord[:n-1]
	} else {
		r = &record{handler: h}
	}
	r.session = s
	s.busy = true
	q := &h.acct
	r.Cache, r.Client, r.Arrived, r.Done = s.cache, s.client, s.arrived, r
	r.fill(s, q)
	h.lane.Account(&r.Accounting)
}

// fill reads everything that the record has a field for, RFC 8907 sections 7.1 and 8.3. The whole body is kept as it came.
func (r *record) fill(s *session, q *wire.AcctRequest) {
	a := &r.Record
	*a = event.AccountedView{
		Protocol: protocolText, UserName: username(q.User), Calling: s.address(q.RemAddr), NASPortID: q.Port, Raw: s.packet, Status: statusOf(q.Flags),
	}
	a.Source = engine.AppendAddr(r.source[:0], s.peer.remote.Addr())
	a.NAS = a.Source // TACACS+ has no name for the device

	var began, ended time.Time
	system := false
	command := r.command[:0]
	running := q.Flags == wire.AcctWatchdog // without START nothing is told but that the task goes on: arguments are ignored, RFC 8907 section 7.2
	for arg := range q.Args.All() {
		if running && string(arg.Name) != "task_id" { // which says what task
			continue
		}
		n, isNumber := arg.Uint32()
		switch string(arg.Name) {
		case "task_id":
			a.SessionID = arg.Value
		case "service":
			system = string(arg.Value) == "system"
		case "cmd":
			command = append(command, arg.Value...)
		case "cmd-arg":
			if len(command) > 0 && string(arg.Value) != "<cr>" {
				command = append(append(command, ' '), arg.Value...)
			}
		case "start_time":
			if isNumber {
				began = time.Unix(int64(n), 0)
			}
		case "stop_time":
			if isNumber {
				ended = time.Unix(int64(n), 0)
			}
		case "elapsed_time":
			a.SessionTime = n
		case "bytes_in":
			a.InputOctets = uint64(n)
		case "bytes_out":
			a.OutputOctets = uint64(n)
		case "paks_in":
			a.InputPackets = uint64(n)
		case "paks_out":
			a.OutputPackets = uint64(n)
		}
	}
	r.command = command
	a.Command = command[:min(len(command), maxCommand)]
	if system { // of the device: it comes up, or goes down
		switch a.Status {
		case event.StatusStart:
			a.Status = event.StatusOn
		case event.StatusStop:
			a.Status = event.StatusOff
		}
	}
	switch {
	case a.Status == event.StatusStop && !ended.IsZero():
		a.EventUnix = ended.Unix()
	case a.Status == event.StatusStart && !began.IsZero():
		a.EventUnix = began.Unix()
	default:
		a.EventUnix = r.Arrived.Unix()
	}
}

var protocolText = []byte(protocol)

// maxCommand is how many bytes of a command line a record has beside the body, which has all of it.
const maxCommand = 1024

// statusOf returns the Acct-Status-Type that the flags of a record stand for.
func statusOf(f wire.AcctFlags) uint32 {
	switch f {
	case wire.AcctStart:
		return event.StatusStart
	case wire.AcctStop:
		return event.StatusStop
	}
	return event.StatusInterim
}

// committed answers a record whose outcome is known: SUCCESS means that a quorum has it on disk, and of anything else the device hears an error,
// so that it tries again, here or elsewhere.
func (h *handler) committed(r *record) {
	s := r.session
	s.busy = false
	switch {
	case s.peer == nil: // nobody waits
		h.release(s)
	case r.Err != nil:
		h.fail(s.peer, &s.header, causeUnrecorded)
	default:
		h.acknowledge(s, r.Duplicate)
	}
	r.session, r.Cache, r.Client = nil, nil, nil
	h.recording--
	h.freeRecord = append(h.freeRecord, r)
}

func (h *handler) acknowledge(s *session, repeat bool) {
	o := outcomeRecorded
	if repeat {
		o = outcomeRepeat
	}
	buf, header := h.reply(s)
	h.departures.builder.AcctReply(buf, header, wire.AcctSuccess)
	if f := h.depart(s.peer, accountingLatency, s.arrived); f != wire.OK {
		h.unrendered(s, f)
		return
	}
	h.stats.answers[o].Add(1)
	h.end(s)
}

// Describe tells the body of an accounting REQUEST as lines of "name = value", its arguments as they came; false if it is none.
func Describe(body []byte) ([]string, bool) {
	var q wire.AcctRequest
	if f := wire.ParseAcctRequest(body, wire.LooseLength|wire.BareArguments, &q); f != wire.OK {
		return nil, false
	}
	lines := []string{
		"flags = " + q.Flags.String(), "authen_method = " + q.Method.String(), "priv_lvl = " + strconv.Itoa(int(q.PrivLvl)),
		"authen_type = " + q.Type.String(), "authen_service = " + q.Service.String(), "user = " + strconv.Quote(string(q.User)),
		"port = " + strconv.Quote(string(q.Port)), "rem_addr = " + strconv.Quote(string(q.RemAddr)),
	}
	for text := range q.Args.Raw() {
		lines = append(lines, "arg = "+strconv.Quote(string(text)))
	}
	return lines, true
}
