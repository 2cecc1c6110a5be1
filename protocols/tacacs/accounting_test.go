package tacacs

import (
	"slices"
	"testing"

	"trine/engine/event"
	"trine/protocols/tacacs/wire"
)

// accounted returns the accounting records that were proposed while f ran.
func (r *rig) accounted(f func()) (records []event.AccountedView) {
	r.t.Helper()
	r.house.Watch(func(proposal []byte) {
		for len(proposal) > 0 {
			part, data, rest, err := event.NextPart(proposal)
			if err != nil {
				r.t.Error(err)
				return
			}
			if proposal = rest; part != event.PartEvent {
				continue
			}
			e, err := event.ParseEvent(data)
			if err != nil {
				r.t.Error(err)
			}
			if e.Type != event.TypeAccounted {
				continue
			}
			var v event.AccountedView
			if err := v.Decode(slices.Clone(e.Body)); err != nil {
				r.t.Error(err)
			}
			records = append(records, v)
		}
	})
	f()
	r.house.Watch(nil)
	return records
}

func TestRecordsHoldWhatTheArgumentsSay(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	session := uint32(0)
	account := func(flags wire.AcctFlags, args ...string) event.AccountedView {
		t.Helper()
		session++
		all := r.accounted(func() {
			d.account(session, flags, "bob", args...)
			d.acct(session, wire.AcctSuccess)
		})
		if len(all) != 1 {
			t.Fatalf("%d records", len(all))
		}
		return all[0]
	}
	sessions := func(want int) {
		t.Helper()
		if n := r.house.People.Counts().Sessions; n != want {
			t.Errorf("%d sessions, not %d", n, want)
		}
	}
	v := account(wire.AcctStart, "task_id=9", "start_time=1790000000", "service=shell")
	if v.Status != event.StatusStart || string(v.SessionID) != "9" || string(v.User) != "bob" || string(v.UserName) != "bob" || string(v.NASPortID) != "tty1" ||
		string(v.Calling) != "192.0.2.9" || v.EventUnix != 1790000000 || string(v.Source) != "\x7f\x00\x00\x01" || string(v.NAS) != string(v.Source) ||
		string(v.Protocol) != "tacacs" || string(v.Client) != "core" || v.StaleAfter != 86400 {
		t.Errorf("%+v", v)
	}
	sessions(1)
	if lines, ok := Describe(v.Raw); !ok || !slices.Contains(lines, `arg = "start_time=1790000000"`) || !slices.Contains(lines, "flags = start") {
		t.Errorf("told as %q", lines)
	}
	v = account(wire.AcctWatchdog|wire.AcctStart, "task_id=9", "service=shell", "elapsed_time=60", "bytes_in=1000", "bytes_out=2000", "paks_in=10", "paks_out=20")
	if v.Status != event.StatusInterim || v.SessionTime != 60 || v.InputOctets != 1000 || v.OutputOctets != 2000 || v.InputPackets != 10 || v.OutputPackets != 20 {
		t.Errorf("%+v", v)
	}
	v = account(wire.AcctStop, "task_id=10", "service=shell", "priv-lvl=15", "cmd=configure", "cmd-arg=terminal", "cmd-arg=<cr>")
	if string(v.Command) != "configure terminal" {
		t.Errorf("%+v", v)
	}
	sessions(1) // a command is no session
	again := account(wire.AcctStop, "task_id=10", "service=shell", "priv-lvl=15", "cmd=configure", "cmd-arg=terminal", "cmd-arg=<cr>")
	if string(again.Command) != "configure terminal" {
		t.Errorf("%+v", again)
	}
	v = account(wire.AcctStart, "service=shell") // a device that leaves the number out
	if len(v.SessionID) != 0 {
		t.Errorf("%+v", v)
	}
	sessions(1)
	v = account(wire.AcctStop, "task_id=9", "stop_time=1790000060", "elapsed_time=60", "service=shell")
	if v.Status != event.StatusStop || v.EventUnix != 1790000060 {
		t.Errorf("%+v", v)
	}
	sessions(0)
	account(wire.AcctStart, "task_id=11", "start_time=1790000100", "service=shell")
	account(wire.AcctStart, "task_id=12", "start_time=1790000100", "service=shell")
	sessions(2)
	v = account(wire.AcctStart, "task_id=13", "start_time=1790000200", "service=system", "event=sys_acct", "reason=reload") // the device came up
	if v.Status != event.StatusOn {
		t.Errorf("%+v", v)
	}
	sessions(0)
}

func TestRecordThatComesAgainIsRecordedOnce(t *testing.T) {
	r := newRig(t)
	d := r.dial("testing123")
	d.flags = wire.SingleConnect
	for i := range uint32(3) { // another session each time, as a device does that had no answer
		d.account(i, wire.AcctStart, "bob", "task_id=9", "service=shell")
		d.acct(i, wire.AcctSuccess)
	}
	d.account(3, wire.AcctWatchdog, "bob", "task_id=9", "service=shell", "note=1")
	d.acct(3, wire.AcctSuccess)
	d.account(4, wire.AcctWatchdog, "bob", "task_id=9", "service=shell", "note=2") // what differs in anything is another
	d.acct(4, wire.AcctSuccess)
	counts := map[string]uint64{}
	for _, c := range r.server.Stats().Answers {
		counts[c.Label] = c.Count
	}
	if counts["recorded"] != 3 || counts["repeat"] != 2 {
		t.Errorf("%v", counts)
	}
}
