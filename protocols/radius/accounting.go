package radius

import (
	"net/netip"

	"trine/engine"
	"trine/engine/event"
	"trine/protocols/loop"
	"trine/protocols/radius/wire"
)

// record is one Accounting-Request that waits for its commit.
type record struct {
	engine.Accounting
	handler *handler
	packet  []byte
	raw     []byte
	source  [16]byte
	socket  *loop.Socket
	from    netip.AddrPort
	key     *wire.Secret
	ref     ref
	id      uint8
	proxied bool // it has Proxy-States, which the answer repeats
}

// Accounted implements engine.AccountingDelivery.
func (r *record) Accounted(*engine.Accounting) { r.handler.stored.Put(r) }

// account begins to store an accounting record. The answer leaves once the record is committed, RFC 2866 section 2.
func (h *handler) account(a *arrival, id dupKey) {
	v := &a.view
	if !complete(v) {
		h.ignore(a.socket, a.from, causeAccounting, a.client)
		return
	}
	if h.recordCount >= h.records {
		h.ignore(a.socket, a.from, causeRecords, a.client)
		return
	}
	at, ok := h.remember(a, id)
	if !ok {
		h.ignore(a.socket, a.from, causeDuplicates, a.client)
		return
	}
	r := h.newRecord()
	r.socket, r.from, r.key, r.ref = a.socket, a.from, a.key, at
	r.packet = append(r.packet[:0], v.Bytes()...)
	v.Move(r.packet)
	r.id, r.proxied = v.ID(), v.Has(wire.ProxyState)
	r.Cache, r.Client, r.Arrived, r.Done = a.cache, a.client, h.loop.Now(), r
	r.fill(v, h.mark)
	h.lane.Account(&r.Accounting)
}

// complete reports whether an Accounting-Request says what it is about, RFC 2866 section 4.1 and 5.5.
func complete(v *wire.View) bool {
	status, ok := v.Uint32(wire.AcctStatusType)
	if !ok {
		return false
	}
	if status == event.StatusOn || status == event.StatusOff {
		return true
	}
	session, ok := v.First(wire.AcctSessionID)
	return ok && len(session) > 0
}

// fill reads everything that the record has a field for. The rest is kept raw.
func (r *record) fill(v *wire.View, mark classMark) {
	a := &r.Record
	*a = event.AccountedView{}
	a.Status, _ = v.Uint32(wire.AcctStatusType)
	a.SessionID, _ = v.First(wire.AcctSessionID)
	a.UserName, _ = v.First(wire.UserName)
	a.Calling, _ = v.First(wire.CallingStationID)
	a.Called, _ = v.First(wire.CalledStationID)
	a.NASPort, _ = v.Uint32(wire.NASPort)
	a.NASPortID, _ = v.First(wire.NASPortID)
	a.Class, _ = v.First(wire.Class)
	a.Login, r.LoginUser = mark.login(v)
	a.SessionTime, _ = v.Uint32(wire.AcctSessionTime)
	a.TerminateCause, _ = v.Uint32(wire.AcctTerminateCause)
	a.InputOctets = octets(v, wire.AcctInputOctets, wire.AcctInputGigawords)
	a.OutputOctets = octets(v, wire.AcctOutputOctets, wire.AcctOutputGigawords)
	input, _ := v.Uint32(wire.AcctInputPackets)
	output, _ := v.Uint32(wire.AcctOutputPackets)
	a.InputPackets, a.OutputPackets = uint64(input), uint64(output)
	if ip, ok := v.First(wire.FramedIPAddress); ok && len(ip) == 4 {
		a.FramedIP = ip
	}
	a.FramedIPv6Prefix = framedIPv6(v)

	a.Source = engine.AppendAddr(r.source[:0], r.from.Addr())
	if a.NAS = nasOf(v); a.NAS == nil {
		a.NAS = a.Source
	}

	when, ok := v.Uint32(wire.EventTimestamp)
	r.HasTime = ok
	a.EventUnix = int64(when)
	if !ok {
		delay, _ := v.Uint32(wire.AcctDelayTime)
		a.EventUnix = max(r.Arrived.Unix()-int64(delay), 0)
	}
	r.raw = appendWithoutSecrets(r.raw[:0], v)
	a.Raw = r.raw
}

// octets puts a counter and its gigawords together, RFC 2869 section 5.1.
func octets(v *wire.View, low, high wire.Type) uint64 {
	l, _ := v.Uint32(low)
	h, _ := v.Uint32(high)
	return uint64(h)<<32 | uint64(l)
}

// framedIPv6 returns Framed-IPv6-Address (RFC 6911 section 3.1), or Framed-IPv6-Prefix (RFC 3162 section 2.3) as on the wire.
func framedIPv6(v *wire.View) []byte {
	if ip, ok := v.First(wire.FramedIPv6Address); ok && len(ip) == 16 {
		return ip
	}
	prefix, ok := v.First(wire.FramedIPv6Prefix)
	if ok && len(prefix) >= 2 && len(prefix) <= 18 && prefix[1] <= 128 && int(prefix[1]) <= 8*(len(prefix)-2) {
		return prefix
	}
	return nil
}

// appendWithoutSecrets appends the packet's attributes as they came, less those that hold or prove a password, and less the
// signature, which says nothing once it is verified.
func appendWithoutSecrets(dst []byte, v *wire.View) []byte {
	return v.AppendExcept(dst, func(t wire.Type, value []byte) bool {
		switch t {
		case wire.UserPassword, wire.CHAPPassword, wire.TunnelPassword, wire.MessageAuthenticator:
			return true
		case wire.VendorSpecific:
			return provesPassword(value)
		}
		return false
	})
}

// provesPassword reports whether a Vendor-Specific attribute holds one of Microsoft's that proves, changes or derives from a password.
func provesPassword(value []byte) bool {
	vendor, data, ok := wire.SplitVSA(value)
	if !ok || vendor != wire.VendorMicrosoft {
		return false
	}
	for sub := range wire.StandardFormat().Subs(data) {
		switch uint8(sub.Type) {
		case wire.MSCHAPResponse, wire.MSCHAPCPW1, wire.MSCHAPCPW2, wire.MSCHAPNTEncPW, wire.MSCHAPMPPEKeys,
			wire.MSMPPESendKey, wire.MSMPPERecvKey, wire.MSCHAP2Response, wire.MSCHAP2CPW:
			return true
		}
	}
	return false
}

// committed answers a record whose outcome is known. A failure gets no answer, so that the device tries again, here or elsewhere.
func (h *handler) committed(r *record) {
	e := h.duplicates.get(r.ref)
	switch {
	case r.Err != nil:
		h.duplicates.forget(r.ref)
		h.ignore(r.socket, r.from, causeUnrecorded, r.Client)
	case e == nil:
		h.stats.dropped[causeSuperseded].Add(1)
	default:
		h.acknowledge(r, e)
	}
	if r.Err != nil || e == nil {
		h.stats.latencies[accountingLatency].Observe(h.loop.Time().Sub(r.Arrived))
	}
	h.freeRecord(r)
}

func (h *handler) acknowledge(r *record, e *entry) {
	h.begin(wire.AccountingResponse, r.id, &e.authenticator, r.key)
	if r.proxied {
		v := &h.view
		if fault := wire.Parse(r.packet, v); fault != wire.OK {
			panic("radius: a packet that was parsed before does not parse again: " + fault.Error())
		}
		h.builder.ProxyStates(v)
	}
	o := outcomeRecorded
	if r.Duplicate {
		o = outcomeRepeat
	}
	fault := h.depart(departure{socket: r.socket, to: r.from, ref: r.ref, outcome: o, latency: accountingLatency, arrived: r.Arrived})
	if fault != wire.OK {
		panic("radius: an answer without content does not fit: " + fault.Error())
	}
}

func (h *handler) newRecord() *record {
	h.recordCount++
	if n := len(h.freeRecords); n > 0 {
		r := h.freeRecords[n-1]
		h.freeRecords = h.freeRecords[:n-1]
		return r
	}
	return &record{handler: h}
}

func (h *handler) freeRecord(r *record) {
	r.Cache, r.Client, r.key, r.socket = nil, nil, nil, nil
	h.recordCount--
	h.freeRecords = append(h.freeRecords, r)
}
