package engine

import (
	"net/netip"
	"strconv"

	"trine/engine/event"
	"trine/engine/trace"
)

// settle records a decision that was made on its lane; it returns false if the answer has to wait for the record.
func (l *Lane) settle(r *Request) bool {
	r.dropPassword()
	if r.waitsForRecord() {
		return !l.engine.recordFirst(r)
	}
	l.record(r)
	return true
}

// waitsForRecord reports whether the answer has to wait for the record. Where there is no answer, nothing has to wait.
func (r *Request) waitsForRecord() bool {
	return r.Client.RecordFirst && r.Decision.Verdict != event.Discard
}

func (l *Lane) record(r *Request) {
	var d event.DecidedView
	l.engine.describe(r, &d)
	if l.journal.add(&d, r) {
		l.Flush()
	}
}

// settleLate records a decision that was made elsewhere, and delivers it.
func (e *Engine) settleLate(r *Request) {
	r.dropPassword()
	if r.claims != nil && r.claims.silent() {
		r.Done.Decided(r)
		return
	}
	if r.waitsForRecord() {
		if e.recordFirst(r) {
			return
		}
	} else {
		e.recordLate(r)
	}
	r.Done.Decided(r)
}

func (e *Engine) recordLate(r *Request) {
	var d event.DecidedView
	e.describe(r, &d)
	if e.late.add(&d, r) {
		e.late.flush(e.decisions, &e.missing)
	}
}

// recordFirst proposes the decision's record, on which the answer waits. It returns false if the answer need not wait,
// because the log did not take the record: then there is no answer.
func (e *Engine) recordFirst(r *Request) (waits bool) {
	r.work.stage = atRecord
	var d event.DecidedView
	b := &r.work.builder
	b.Reset()
	e.describe(r, &d)
	b.AddDecided(&d)
	r.addFailure(b)
	if err := e.waiting.propose(b.Bytes(), r); err != nil {
		e.missing.add(1, r.Arrived, r.Arrived, err)
		e.unrecorded(r, err)
		return false
	}
	return true
}

// describe fills d with what is recorded of a decision. All of it belongs to r.
func (e *Engine) describe(r *Request, d *event.DecidedView) {
	e.counted(r)
	w := &r.work
	text := w.text[:0]
	put := func(s string) []byte {
		from := len(text)
		text = append(text, s...)
		return text[from:len(text):len(text)]
	}
	*d = event.DecidedView{
		ID: r.Decision.ID, Verdict: r.Decision.Verdict, Reason: put(string(r.Decision.Reason)), Client: put(r.Client.Name),
		Protocol: put(r.Protocol), UserName: r.Name, User: r.Decision.User, Method: uint32(r.Proof.Method), NAS: r.NAS,
		Calling: r.Calling, Called: r.Called, NASPort: r.NASPort, AtUnixNano: r.Arrived.UnixNano(), PolicyIndex: r.Cache.Index,
	}
	r.describePrivilege(d)
	from := len(text)
	text = AppendAddr(text, r.Source.Addr())
	d.Source = text[from:len(text):len(text)]
	if took := e.clock().Sub(r.Arrived).Microseconds(); took > 0 {
		d.TookMicros = uint32(min(took, 1<<32-1))
	}
	if w.traced || r.Decision.Verdict != event.Accept {
		d.Steps = r.appendSteps(w.steps[:0])
		if lost := r.trace.Lost(); lost > 0 {
			from := len(text)
			text = strconv.AppendInt(text, int64(lost), 10)
			d.Steps = append(d.Steps, event.StepView{Code: uint32(trace.StepsLeftOut), Subject: text[from:]})
		}
	}
	w.text = text
}

func (r *Request) appendSteps(steps []event.StepView) []event.StepView {
	for i := range r.trace.Len() {
		s := r.trace.Step(i)
		steps = append(steps, event.StepView{Code: uint32(s.Code), Subject: s.Subject, Detail: s.Detail, TookNanos: s.Took})
	}
	return steps
}

func decisionKey(id uint64) uint64 {
	var b [13]byte
	return event.StreamKey(event.StreamDecision, event.AppendID(b[:0], id))
}

// AppendAddr appends the 4 or 16 bytes of an address, as records have it; nothing for none. An IPv4 address within IPv6 is the former.
func AppendAddr(dst []byte, a netip.Addr) []byte {
	switch a = a.Unmap(); {
	case a.Is4():
		b := a.As4()
		return append(dst, b[:]...)
	case a.Is6():
		b := a.As16()
		return append(dst, b[:]...)
	}
	return dst
}
