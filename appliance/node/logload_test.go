package node

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"trine/engine/event"
	"trine/raftstore"
)

// logLoad makes the records that the engine makes of a network in use: sessions that start, report and stop, and logins. All it
// makes is of its seed.
type logLoad struct {
	random   *rand.Rand
	builder  event.Builder
	sessions []loadedSession // live at the same time
	started  uint32
	logins   uint64
	raw      []byte
	text     []byte
}

type loadedSession struct {
	number uint32 // 0: not started
	user   uint32
	told   uint32 // records so far
}

const (
	interims  = 4             // records that a session sends between its start and its stop
	loadEpoch = 1_750_000_000 // unix seconds
)

// newLogLoad makes a load with so many sessions live at a time.
func newLogLoad(sessions int) *logLoad {
	return &logLoad{
		random: rand.New(rand.NewPCG(1, 2)), sessions: make([]loadedSession, sessions),
	}
}

// put appends formatted text to the load's memory and returns it.
func (l *logLoad) put(format string, arguments ...any) []byte {
	from := len(l.text)
	l.text = fmt.Appendf(l.text, format, arguments...)
	return l.text[from:len(l.text):len(l.text)]
}

func (l *logLoad) attribute(code byte, value []byte) []byte {
	l.raw = append(l.raw, code, byte(len(value)+2))
	l.raw = append(l.raw, value...)
	return value
}

func (l *logLoad) number(code byte, value uint32) uint32 {
	l.attribute(code, binary.BigEndian.AppendUint32(nil, value))
	return value
}

// device fills in what a wireless controller says of the user's station.
func (l *logLoad) device(user uint32) (nas, calling, called []byte, port uint32) {
	l.number(4, 0x0a000001)
	nas = l.attribute(32, l.put("controller-%03d", user%200))
	port = l.number(5, user%4096)
	l.number(61, 19)
	calling = l.attribute(31, l.put("02-00-%02X-%02X-%02X-%02X", byte(user>>24), byte(user>>16), byte(user>>8), byte(user)))
	called = l.attribute(30, l.put("00-11-22-33-44-%02X:campus", byte(user%200)))
	return nas, calling, called, port
}

// accounting returns the proposal of the next accounting record, valid until the next call.
func (l *logLoad) accounting() []byte {
	s := &l.sessions[l.random.IntN(len(l.sessions))]
	if s.number == 0 {
		l.started++
		*s = loadedSession{number: l.started, user: l.random.Uint32N(100_000)}
	}
	l.raw, l.text = l.raw[:0], l.text[:0]
	v := event.AccountedView{Client: l.put("campus"), StaleAfter: 3600, Status: event.StatusInterim, Source: []byte{10, 0, 0, 1}}
	switch s.told {
	case 0:
		v.Status = event.StatusStart
	case interims + 1:
		v.Status = event.StatusStop
	}
	l.number(40, v.Status)
	v.UserName = l.attribute(1, l.put("user%06d", s.user))
	v.User = v.UserName
	v.NAS, v.Calling, v.Called, v.NASPort = l.device(s.user)
	v.SessionID = l.attribute(44, l.put("%016x", uint64(s.number)*0x9e3779b97f4a7c15))
	v.FramedIP = l.attribute(8, binary.BigEndian.AppendUint32(nil, 10<<24|s.number&0xffffff))
	l.number(45, 1)
	v.EventUnix = int64(l.number(55, loadEpoch+s.number/100+300*s.told))
	if s.told > 0 {
		v.SessionTime = l.number(46, s.told*300+l.random.Uint32N(3))
		v.InputOctets = uint64(l.number(42, s.told*(123_456+l.random.Uint32N(1e6))))
		v.OutputOctets = uint64(l.number(43, s.told*(1_234_567+l.random.Uint32N(1e7))))
		v.InputPackets = uint64(l.number(47, s.told*(1_234+l.random.Uint32N(1e4))))
		v.OutputPackets = uint64(l.number(48, s.told*(2_345+l.random.Uint32N(1e4))))
	}
	if v.Status == event.StatusStop {
		v.TerminateCause = l.number(49, 1)
	}
	v.Raw = l.raw
	v.Key = event.AccountingKey(&v, true)
	s.told++
	if v.Status == event.StatusStop {
		*s = loadedSession{}
	}
	l.builder.Reset()
	l.builder.AddAccounted(&v)
	return l.builder.Bytes()
}

// decisions returns the proposal of a lane's next n decisions, valid until the next call.
func (l *logLoad) decisions(n int) []byte {
	l.builder.Reset()
	for range n {
		l.raw, l.text = l.raw[:0], l.text[:0]
		l.logins++
		user := l.random.Uint32N(100_000)
		d := event.DecidedView{
			ID: l.random.Uint64(), Verdict: event.Accept, Reason: l.put("accepted"), Client: l.put("campus"), Protocol: l.put("radius"),
			UserName: l.put("user%06d", user), User: l.put("user%06d", user), Method: 1, AtUnixNano: loadEpoch*1e9 + int64(l.logins)*7_000,
			PolicyIndex: 1234, TookMicros: 2 + l.random.Uint32N(5), Source: []byte{10, 0, 0, 1},
		}
		d.NAS, d.Calling, d.Called, d.NASPort = l.device(user)
		l.builder.AddDecided(&d)
	}
	return l.builder.Bytes()
}

// windowed is a Waiter that lets so many records be under way.
type windowed chan struct{}

// Committed implements raftstore.Waiter.
func (w windowed) Committed(_ uint64, _ raftstore.Position, r raftstore.Result, err error) {
	if err != nil || r.Code != raftstore.Applied {
		panic(fmt.Sprintf("a record of the load: %+v, %v", r, err))
	}
	<-w
}

// drained returns once nothing is under way.
func (w windowed) drained() {
	for range cap(w) {
		w <- struct{}{}
	}
	for range cap(w) {
		<-w
	}
}

// diskBytes returns how many bytes this process has caused to be written to disks so far, mapped files included.
func diskBytes(t testing.TB) uint64 {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skipf("what is written cannot be counted here: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		if number, ok := strings.CutPrefix(line, "write_bytes:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Skip("the system does not count what is written")
	return 0
}
