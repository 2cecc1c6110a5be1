package radius

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"trine/engine"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/trace"
	"trine/protocols/loop"
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
			h.port.keep = false
			h.Void()
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
				h.packet(s, packets[i%len(packets)])
				h.h.Wake()
				h.port.now = h.port.now.Add(100 * time.Millisecond)
				h.h.EndBatch(true)
			}
		})
	}
}

// BenchmarkEstate is a PAP packet, as in BenchmarkPacket, of somebody with 50 groups and 10 attributes, of which 20 sharing policies release all,
// and of the same person with none of them; measured in turn, and compared as in BenchmarkEstate of engine.
func BenchmarkEstate(b *testing.B) {
	sent := [...]string{
		"Filter-Id", "Reply-Message", "Callback-Number", "Callback-Id", "Framed-Pool", "Login-LAT-Service", "Login-LAT-Node", "Framed-AppleTalk-Zone", "Framed-Route", "Login-LAT-Port",
	}
	var estate strings.Builder
	var groups, rules, values []string
	for i := range 50 {
		parent := ""
		if i%10 > 0 {
			parent = fmt.Sprintf("{parent: group-%d}", i-1)
		}
		fmt.Fprintf(&estate, "---\nkind: Group\nname: group-%d\nspec: %s\n", i, parent)
		groups = append(groups, fmt.Sprintf("group-%d", i))
	}
	for i, id := range sent {
		fmt.Fprintf(&estate, "---\nkind: AttributeDefinition\nname: attribute-%d\nspec: {radiusID: %s}\n", i, id)
		values = append(values, fmt.Sprintf("attribute-%d: value", i))
		rules = append(rules, fmt.Sprintf("{attribute: attribute-%d}", i))
	}
	for i := range 20 {
		condition := [...]string{"any", "{principalName: alice}", "{attributeRequester: other}", "{attributeValue: {attribute: attribute-1, value: value}}"}[i%4]
		fmt.Fprintf(&estate, "---\nkind: AttributePolicy\nname: policy-%d\nspec: {condition: %s, attributes: [%s]}\n", i, condition, strings.Join(rules, ", "))
	}
	fmt.Fprintf(&estate, "---\nkind: User\nname: alice\nspec: {groups: [%s], attributes: {%s}}\n", strings.Join(groups, ", "), strings.Join(values, ", "))
	const chunk = 500
	var houses [2]*house
	var packets [2][][]byte
	for i, documents := range []string{"kind: User\nname: alice\n", strings.TrimPrefix(estate.String(), "---\n")} {
		h := newHouse(b)
		h.Put(documents)
		h.packet(h.auth, h.request(wire.AccessRequest, proofs(b, "alice", "wonderland")["PAP"]))
		h.h.EndBatch(true)
		if reply := h.port.sent[0].data; wire.Code(reply[0]) != wire.AccessAccept || bytes.Count(reply, []byte("value")) != i*len(sent) {
			b.Fatalf("%q", reply)
		}
		h.port.keep = false
		h.Void()
		for range 256 {
			packets[i] = append(packets[i], h.request(wire.AccessRequest, proofs(b, "alice", "wonderland")["PAP"]))
		}
		houses[i] = h
	}
	var times [2][]time.Duration
	for b.Loop() {
		for i, h := range houses {
			begun := time.Now()
			for n := range chunk {
				h.packet(h.auth, packets[i][n%len(packets[i])])
				h.h.Wake()
				h.port.now = h.port.now.Add(100 * time.Millisecond)
				h.h.EndBatch(true)
			}
			times[i] = append(times[i], time.Since(begun))
		}
	}
	// How fast the machine is changes within a run: compared is what was measured side by side.
	ratios := make([]float64, len(times[0]))
	for i := range ratios {
		ratios[i] = float64(times[1][i]) / float64(times[0][i])
	}
	slices.Sort(ratios)
	var least [2]float64
	for i := range times {
		slices.Sort(times[i])
		least[i] = float64(times[i][len(times[i])/10]) / chunk
	}
	b.ReportMetric(least[0], "none-ns")
	b.ReportMetric(least[1], "estate-ns")
	b.ReportMetric(ratios[len(ratios)/2], "times")
}

// BenchmarkBatch is the handler's own share of batches of different people, with an engine that says yes to everything.
func BenchmarkBatch(b *testing.B) {
	for _, method := range batchMethods {
		for _, size := range []int{1, 4, 16, loop.BatchSize} {
			b.Run(fmt.Sprintf("%s/%d", method, size), func(b *testing.B) {
				r, s, batch := fullBatch(b, method)
				batch = batch[:size]
				before, begun := r.port.count, cpuTime()
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					r.answerBatch(s, batch)
					n += len(batch)
				}
				b.ReportMetric(float64(cpuTime()-begun)/float64(n), "cpu-ns/packet")
				if r.port.count-before != n {
					b.Errorf("%d of %d packets were answered", r.port.count-before, n)
				}
			})
		}
	}
}

var batchMethods = []string{"PAP", "CHAP", "MS-CHAPv2", "accounting", "Status-Server"}

// fullBatch makes a rig that says yes to everything, and a batch of requests like those of a wireless controller.
func fullBatch(t testing.TB, method string) (*rig, *loop.Socket, []loop.Datagram) {
	r := newRig(t, func(c *document.RadiusClient) { c.RejectDelay = 0 })
	r.lane.commit, r.port.keep = true, false
	r.h.entries, r.h.logins, r.h.records = 1024, 1024, 1024
	r.lane.decide = func(q *engine.Request) bool {
		q.Decision.Verdict, q.Decision.Reason, q.Decision.UserID = event.Accept, trace.OK, 7
		q.Proof.HasKeys = true
		return true
	}
	code, s := wire.AccessRequest, r.auth
	switch method {
	case "accounting":
		code, s = wire.AccountingRequest, r.acct
	case "Status-Server":
		code = wire.StatusServer
	}
	batch := make([]loop.Datagram, loop.BatchSize)
	for i := range batch {
		batch[i].From = netip.AddrPortFrom(r.from.Addr(), uint16(40000+i))
		batch[i].Data = r.request(code, func(b *wire.Builder) { batchRequest(b, method, i) })
	}
	return r, s, batch
}

func batchRequest(b *wire.Builder, method string, i int) {
	name, address := fmt.Sprintf("user%06d", i), []byte{127, 0, 0, 1}
	switch method {
	case "PAP":
		b.PAP(name, fmt.Sprintf("secret-%06d", i))
	case "CHAP":
		b.CHAP(name, 1, [16]byte{1}, []byte("0123456789abcdef"))
	case "MS-CHAPv2":
		b.MSCHAP2(name, 1, [16]byte{1}, [16]byte{2}, [24]byte{3})
	case "accounting":
		b.Accounting(event.StatusInterim, fmt.Sprintf("session-%06d", i))
		b.Text(wire.UserName, name)
	case "Status-Server":
		b.Attr(wire.NASIPAddress, address)
		return
	}
	b.Attr(wire.NASIPAddress, address)
	b.Text(wire.NASIdentifier, fmt.Sprintf("controller-%03d", i))
	b.Uint32(wire.NASPort, uint32(i))
	b.Uint32(wire.NASPortType, 19)
	b.Text(wire.CallingStationID, fmt.Sprintf("02-00-00-00-00-%02X", i))
	b.Text(wire.CalledStationID, "00-11-22-33-44-55:campus")
	if method != "accounting" {
		b.Uint32(wire.ServiceType, 2)
		return
	}
	b.Uint32(wire.AcctSessionTime, 600)
	b.Uint32(wire.AcctInputOctets, 123456)
	b.Uint32(wire.AcctOutputOctets, 654321)
	b.Uint32(wire.AcctInputPackets, 1234)
	b.Uint32(wire.AcctOutputPackets, 4321)
	b.Uint32(wire.EventTimestamp, 1_800_000_000)
	b.Attr(wire.FramedIPAddress, []byte{10, 0, 0, byte(i)})
}

// answerBatch hands the batch to the handler, takes what commits bring, and lets the answers grow old.
func (r *rig) answerBatch(s *loop.Socket, batch []loop.Datagram) {
	r.h.Packets(s, batch)
	r.h.EndBatch(true)
	r.h.Wake()
	r.h.EndBatch(true)
	r.port.now = r.port.now.Add(20 * time.Second)
	r.h.EndBatch(true)
}

// cpuTime is the processor time that the process has used, which others on the machine do not stretch.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
