package radius

import (
	"testing"
	"time"

	"trine/engine/event"
	"trine/protocols/radius/wire"
)

// BenchmarkPacket is the whole way of a packet through handler and engine, without sockets and commits.
func BenchmarkPacket(b *testing.B) {
	fills := proofs(b, "alice", "wonderland")
	fills["accounting"] = func(w *wire.Builder) {
		w.Accounting(event.StatusInterim, "s-1")
		w.Text(wire.UserName, "alice")
	}
	fills["Status-Server"] = nil
	for name, fill := range fills {
		b.Run(name, func(b *testing.B) {
			h := newHouse(b)
			h.port.keep, h.apply = false, false
			code, s := wire.AccessRequest, h.auth
			switch name {
			case "accounting":
				code, s = wire.AccountingRequest, h.acct
			case "Status-Server":
				code = wire.StatusServer
			}
			packets := make([][]byte, 256)
			for i := range packets {
				packets[i] = h.request(code, fill)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				h.h.Packet(s, h.from, packets[i%len(packets)])
				h.h.Wake()
				h.port.now = h.port.now.Add(100 * time.Millisecond)
				h.h.EndBatch(true)
			}
		})
	}
}
