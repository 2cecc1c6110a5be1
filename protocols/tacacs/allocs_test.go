package tacacs

import (
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"trine/protocols/tacacs/wire"
)

// TestExchangesOnAnOpenConnectionAllocateNothing counts the allocations of the whole way: the loop, the packets, the decision or the commit, and the
// record. The log commits and applies nothing here, as what is kept is allocated.
func TestExchangesOnAnOpenConnectionAllocateNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	const together = 32
	for name, build := range map[string]func(d *device, session uint32){
		"PAP": func(d *device, session uint32) {
			d.builder.AuthenStart(d.buf, header(wire.Authentication, wire.Version1, 1, session, wire.SingleConnect), &wire.AuthenStart{
				Action: wire.Login, Type: wire.TypePAP, Service: wire.ServiceLogin, User: []byte("alice"), Port: []byte("tty1"), RemAddr: []byte("192.0.2.9"), Data: []byte("wonderland"),
			})
		},
		"CHAP": func(d *device, session uint32) {
			s := proofs(t, "alice", "wonderland")["CHAP"]
			s.Action, s.Service = wire.Login, wire.ServiceLogin
			d.builder.AuthenStart(d.buf, header(wire.Authentication, wire.Version1, 1, session, wire.SingleConnect), &s)
		},
		"command": func(d *device, session uint32) {
			d.builder.AuthorRequest(d.buf, header(wire.Authorization, wire.Version0, 1, session, wire.SingleConnect), &wire.AuthorRequest{Method: wire.MethodTACACSPlus, Type: wire.TypeASCII, Service: wire.ServiceLogin, User: []byte("bob")})
			for _, a := range []string{"service=shell", "cmd=show", "cmd-arg=version", "cmd-arg=<cr>"} {
				d.builder.Arg([]byte(a))
			}
		},
		"service": func(d *device, session uint32) {
			d.builder.AuthorRequest(d.buf, header(wire.Authorization, wire.Version0, 1, session, wire.SingleConnect), &wire.AuthorRequest{Method: wire.MethodTACACSPlus, Type: wire.TypeASCII, Service: wire.ServiceLogin, User: []byte("bob")})
			d.builder.Arg([]byte("service=shell"))
			d.builder.Arg([]byte("cmd="))
		},
		"accounting": func(d *device, session uint32) {
			d.builder.AcctRequest(d.buf, header(wire.Accounting, wire.Version0, 1, session, wire.SingleConnect), &wire.AcctRequest{Flags: wire.AcctWatchdog, AuthorRequest: wire.AuthorRequest{
				Method: wire.MethodTACACSPlus, Type: wire.TypeASCII, Service: wire.ServiceLogin, User: []byte("bob"), Port: []byte("tty1"), RemAddr: []byte("192.0.2.9"),
			}})
			for _, a := range []string{fmt.Sprintf("task_id=%d", session), "service=shell", "elapsed_time=60"} {
				d.builder.Arg([]byte(a))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			d := r.dial("testing123")
			var batch []byte
			for i := range uint32(together) {
				build(d, i)
				batch = append(batch, d.packet()...)
			}
			r.house.Void()
			answers := make([]byte, 64<<10)
			exchange := func() {
				d.send(batch)
				for got := 0; got < together; {
					if _, err := io.ReadFull(d.conn, answers[:wire.HeaderLen]); err != nil {
						t.Fatal(err)
					}
					if _, err := io.ReadFull(d.conn, answers[:binary.BigEndian.Uint32(answers[8:])]); err != nil {
						t.Fatal(err)
					}
					got++
				}
			}
			for range 200 { // pools and buffers grow
				exchange()
			}
			// A timer, the scheduler or the collector may allocate now and then: what each exchange allocates would be counted for each.
			if n := testing.AllocsPerRun(200, exchange); n > 1 {
				t.Errorf("%v allocations in %d exchanges", n, together)
			}
			s := r.server.Stats()
			var answered uint64
			for _, c := range s.Answers {
				if c.Label == "fail" || c.Label == "denied" || c.Label == "error" {
					if c.Count > 0 {
						t.Errorf("%d answers are %q", c.Count, c.Label)
					}
				} else {
					answered += c.Count
				}
			}
			if answered != together*(200+200+1) {
				t.Errorf("%d answers", answered)
			}
		})
	}
}
