package radius

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"

	"trine/engine/event"
	"trine/protocols/radius/wire"
)

func TestAccountingRecordHoldsEverything(t *testing.T) {
	r := newRig(t)
	class := r.h.mark.append(nil, 99, nil)
	p := r.request(wire.AccountingRequest, func(b *wire.Builder) {
		b.Accounting(event.StatusInterim, "session-1")
		b.Text(wire.UserName, "alice")
		b.Text(wire.NASIdentifier, "nas-1")
		b.Text(wire.CallingStationID, "02-00-00-00-00-01")
		b.Text(wire.CalledStationID, "ssid")
		b.Text(wire.NASPortID, "ge-0/0/1")
		b.Uint32(wire.NASPort, 17)
		b.Attr(wire.Class, []byte("somebody else's"))
		b.Attr(wire.Class, class)
		b.Uint32(wire.AcctSessionTime, 600)
		b.Uint32(wire.AcctInputOctets, 1)
		b.Uint32(wire.AcctInputGigawords, 2)
		b.Uint32(wire.AcctOutputOctets, 0xffffffff)
		b.Uint32(wire.AcctInputPackets, 3)
		b.Uint32(wire.AcctOutputPackets, 4)
		b.Uint32(wire.AcctTerminateCause, 6)
		b.Uint32(wire.EventTimestamp, 1_799_999_000)
		b.Uint32(wire.AcctDelayTime, 50)
		b.Attr(wire.FramedIPAddress, []byte{10, 0, 0, 1})
		b.Attr(wire.FramedIPv6Prefix, []byte{0, 64, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1})
		b.VSA(9, 1, []byte("unknown=kept"))
		b.Attr(wire.Type(250), []byte("kept too"))
		b.VSA(wire.VendorMicrosoft, wire.MSCHAP2Response, make([]byte, 50))
		b.HiddenAttr(wire.HideUserPassword, wire.UserPassword, []byte("hush"))
	})
	r.give(r.acct, p)
	if len(r.lane.accounts) != 1 {
		t.Fatalf("%d records; log %s", len(r.lane.accounts), r.logs)
	}
	a := r.lane.accounts[0].Record
	raw := a.Raw
	for _, kept := range []string{"unknown=kept", "kept too", "somebody else's", "alice"} {
		if !bytes.Contains(raw, []byte(kept)) {
			t.Errorf("%q is not kept raw", kept)
		}
	}
	for i := 0; i < len(raw); i += int(raw[i+1]) {
		if raw[i] == byte(wire.UserPassword) || raw[i] == byte(wire.MessageAuthenticator) || raw[i] == byte(wire.VendorSpecific) && raw[i+4] == 1 && raw[i+5] == 0x37 {
			t.Errorf("a secret is kept raw: attribute %d", raw[i])
		}
	}
	a.Raw = nil
	want := event.AccountedView{
		NAS: []byte("nas-1"), SessionID: []byte("session-1"), UserName: []byte("alice"), FramedIP: []byte{10, 0, 0, 1},
		FramedIPv6Prefix: []byte{0, 64, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1}, Calling: []byte("02-00-00-00-00-01"), Called: []byte("ssid"),
		NASPortID: []byte("ge-0/0/1"), Source: []byte{192, 0, 2, 7}, Class: []byte("somebody else's"), Login: 99,
		InputOctets: 2<<32 | 1, OutputOctets: 0xffffffff, InputPackets: 3, OutputPackets: 4, EventUnix: 1_799_999_000,
		Status: event.StatusInterim, NASPort: 17, SessionTime: 600, TerminateCause: 6,
	}
	if got, want := event.AppendAccounted(nil, &a), event.AppendAccounted(nil, &want); !bytes.Equal(got, want) {
		t.Errorf("record is %+v", a)
	}
	if !r.lane.accounts[0].HasTime {
		t.Error("the record does not know that it has a time")
	}
}

func TestTimeOfARecordWithoutTimestampIsArrivalLessDelay(t *testing.T) {
	r := newRig(t)
	r.from = netip.MustParseAddrPort("[2001:db8::7]:1000")
	r.give(r.acct, r.request(wire.AccountingRequest, func(b *wire.Builder) {
		b.Accounting(event.StatusStart, "s")
		b.Uint32(wire.AcctDelayTime, 50)
	}))
	a := r.lane.accounts[0]
	if a.HasTime || a.Record.EventUnix != r.port.now.Unix()-50 {
		t.Errorf("time is %d, %v", a.Record.EventUnix, a.HasTime)
	}
	if addr, _ := netip.AddrFromSlice(a.Record.NAS); addr != r.from.Addr() || !bytes.Equal(a.Record.NAS, a.Record.Source) {
		t.Errorf("a NAS that does not say who it is is %x, not its address", a.Record.NAS)
	}
}

func TestMalformedFramedAddressesAreLeftOut(t *testing.T) {
	for name, value := range map[string][]byte{
		"host bits beyond": {0, 129, 1}, "too few bytes": {0, 64, 1, 2}, "one byte": {0},
	} {
		r := newRig(t)
		r.give(r.acct, r.request(wire.AccountingRequest, func(b *wire.Builder) {
			b.Accounting(event.StatusStart, "s")
			b.Attr(wire.FramedIPv6Prefix, value)
			b.Attr(wire.FramedIPAddress, []byte{1, 2, 3})
		}))
		if a := r.lane.accounts[0].Record; a.FramedIPv6Prefix != nil || a.FramedIP != nil {
			t.Errorf("%s: kept %x, %x", name, a.FramedIPv6Prefix, a.FramedIP)
		}
	}
}

func TestAccountingIsAnsweredAfterItsCommitOnly(t *testing.T) {
	r := newRig(t)
	p := r.request(wire.AccountingRequest, func(b *wire.Builder) { b.Accounting(1, "s") })
	r.give(r.acct, p)
	r.give(r.acct, p)
	r.silent(causePending)
	if len(r.lane.accounts) != 1 {
		t.Fatalf("%d records", len(r.lane.accounts))
	}
	a := r.lane.accounts[0]
	a.Done.Accounted(a)
	if len(r.port.sent) != 0 {
		t.Fatal("answered off the loop")
	}
	r.wake()
	r.answer(p)
	r.give(r.acct, p)
	r.answer(p)
	if len(r.lane.accounts) != 1 {
		t.Error("a retransmission was recorded")
	}
	r.pass(20 * time.Second)
	r.give(r.acct, p)
	if len(r.lane.accounts) != 2 {
		t.Error("a late retransmission did not reach the engine, which tells repeats apart")
	}
}

func TestAccountingThatFailsIsNeverAnswered(t *testing.T) {
	r := newRig(t)
	p := r.request(wire.AccountingRequest, func(b *wire.Builder) { b.Accounting(1, "s") })
	r.give(r.acct, p)
	a := r.lane.accounts[0]
	a.Err = errors.New("no leader")
	a.Done.Accounted(a)
	r.wake()
	r.silent(causeUnrecorded)
	r.lane.commit = true
	r.give(r.acct, p) // the next try
	r.wake()
	r.answer(p)
}

func TestOnAndOffNeedNoSession(t *testing.T) {
	r := newRig(t)
	for _, status := range []uint32{event.StatusOn, event.StatusOff} {
		r.give(r.acct, r.request(wire.AccountingRequest, func(b *wire.Builder) { b.Uint32(wire.AcctStatusType, status) }))
	}
	if len(r.lane.accounts) != 2 {
		t.Fatalf("%d records", len(r.lane.accounts))
	}
}
