package devices

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"trine/bench/packets"
)

// The parts of a packet, RFC 8907 sections 4 to 7.
const (
	headerLen = 12

	version0, version1 = 0xc0, 0xc1

	typeAuthentication, typeAuthorization, typeAccounting = 1, 2, 3

	flagUnencrypted, flagSingleConnect = 0x01, 0x04
)

// Pool is packets that were built before, each with the answer that is expected.
type Pool struct {
	data    []byte // packets, one behind the other
	ends    []int  // of each
	answers []byte // the bodies of the answers, each of the same length
	answer  int    // that length
	secret  []byte // nil: within TLS
	once    bool   // each may be sent once only
	session uint32
}

// Config is what pools have in common.
type Config struct {
	Secret string // empty: within TLS
	Seed   uint64
}

func newPool(c Config, n, each, answer int) *Pool {
	p := &Pool{data: make([]byte, 0, n*each), ends: make([]int, 0, n), answers: make([]byte, 0, n*answer), answer: answer, session: uint32(c.Seed)}
	if c.Secret != "" {
		p.secret = []byte(c.Secret)
	}
	return p
}

// Len returns the number of packets.
func (p *Pool) Len() int { return len(p.ends) }

// Once reports whether each packet may be sent once only.
func (p *Pool) Once() bool { return p.once }

// Packet returns the i-th packet.
func (p *Pool) Packet(i int) []byte {
	from := 0
	if i > 0 {
		from = p.ends[i-1]
	}
	return p.data[from:p.ends[i]]
}

// Check holds an answer against what is expected of the i-th packet.
func (p *Pool) Check(i int, answer []byte) error {
	packet := p.Packet(i)
	switch {
	case len(answer) != headerLen+p.answer:
		return fmt.Errorf("the answer to packet %d has %d bytes instead of %d", i, len(answer), headerLen+p.answer)
	case answer[0] != packet[0], answer[1] != packet[1], answer[2] != 2, string(answer[4:8]) != string(packet[4:8]), (answer[3]^packet[3])&flagUnencrypted != 0:
		return fmt.Errorf("the header of the answer to packet %d is %x", i, answer[:headerLen])
	case string(answer[headerLen:]) != string(p.answers[i*p.answer:(i+1)*p.answer]):
		body := append([]byte(nil), answer...)
		p.obfuscate(body)
		return fmt.Errorf("the answer to packet %d is %x", i, body[headerLen:])
	}
	return nil
}

// Echoed is the pool for a server that sends a header and as many bytes as an answer has.
func (p *Pool) Echoed() Load { return echoed{p} }

type echoed struct{ *Pool }

// Once implements Load: an echo does not mind what it has had before.
func (echoed) Once() bool { return false }

// Check implements Load.
func (e echoed) Check(i int, answer []byte) error {
	if len(answer) != headerLen+e.answer || string(answer[4:8]) != string(e.Packet(i)[4:8]) {
		return fmt.Errorf("packet %d came back as %x", i, answer)
	}
	return nil
}

// AnswerLen returns how long each answer is, in bytes.
func (p *Pool) AnswerLen() int { return headerLen + p.answer }

// add completes a packet and its answer: bodies in clear.
func (p *Pool) add(version, kind byte, body, answer []byte) {
	p.session += 0x9e3779b9 // every number once before one comes again
	flags := byte(flagSingleConnect)
	if p.secret == nil {
		flags |= flagUnencrypted
	}
	packet := []byte{version, kind, 1, flags, 0, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(packet[4:], p.session)
	reply := append([]byte(nil), packet...)
	reply[2] = 2
	binary.BigEndian.PutUint32(packet[8:], uint32(len(body)))
	packet = append(packet, body...)
	reply = append(reply, answer...)
	p.obfuscate(packet)
	p.obfuscate(reply)
	p.data = append(p.data, packet...)
	p.ends = append(p.ends, len(p.data))
	p.answers = append(p.answers, reply[headerLen:]...)
}

// obfuscate is RFC 8907 section 4.5.
func (p *Pool) obfuscate(packet []byte) {
	if p.secret == nil {
		return
	}
	var block []byte
	for body := packet[headerLen:]; len(body) > 0; {
		h := md5.New()
		h.Write(packet[4:8])
		h.Write(p.secret)
		h.Write([]byte{packet[0], packet[2]})
		h.Write(block)
		block = h.Sum(nil)
		n := min(len(block), len(body))
		for i := range n {
			body[i] ^= block[i]
		}
		body = body[n:]
	}
}

// people draws from the first users, in no order.
func people(c Config, users int) func() int {
	who := rand.New(rand.NewPCG(c.Seed, 5))
	return func() int { return who.IntN(users) }
}

const (
	port    = "tty3"
	address = "192.0.2.77"
)

// Logins builds n logins by PAP, which pass.
func Logins(c Config, n, users int) *Pool {
	p := newPool(c, n, 70, 6)
	next := people(c, users)
	for range n {
		u := next()
		user, password := packets.User(u), packets.Password(u)
		body := []byte{1, 1, 2, 1, byte(len(user)), byte(len(port)), byte(len(address)), byte(len(password))}
		body = append(append(append(append(body, user...), port...), address...), password...)
		p.add(version1, typeAuthentication, body, []byte{1, 0, 0, 0, 0, 0})
	}
	return p
}

// request returns what authorization and accounting have in common.
func request(body []byte, user string, args []string) []byte {
	body = append(body, 6, 5, 1, 1, byte(len(user)), byte(len(port)), byte(len(address)), byte(len(args)))
	for _, a := range args {
		body = append(body, byte(len(a)))
	}
	body = append(append(append(body, user...), port...), address...)
	for _, a := range args {
		body = append(body, a...)
	}
	return body
}

// Commands builds n authorizations of a command that passes.
func Commands(c Config, n, users int) *Pool {
	p := newPool(c, n, 120, 6)
	next := people(c, users)
	for range n {
		args := []string{"service=shell", "cmd=show", "cmd-arg=interfaces", "cmd-arg=status", "cmd-arg=<cr>"}
		p.add(version0, typeAuthorization, request(nil, packets.User(next()), args), []byte{1, 0, 0, 0, 0, 0})
	}
	return p
}

// Records builds a start, an update and a stop record of each of n sessions, whose numbers begin with first. A session's records come after those of
// the other sessions in its round of so many, so that none is under way when the next is sent.
func Records(c Config, n, round, users, first int) *Pool {
	p := newPool(c, 3*n, 150, 5)
	p.once = true
	next := people(c, users)
	for from := 0; from < n; from += round {
		to := min(from+round, n)
		who := make([]int, to-from)
		for i := range who {
			who[i] = next()
		}
		for _, step := range []struct {
			flags byte
			args  []string
		}{{2, []string{"start_time=1790000000"}}, {8, []string{"elapsed_time=60"}}, {4, []string{"stop_time=1790000120", "elapsed_time=120"}}} {
			for i := from; i < to; i++ {
				args := append([]string{fmt.Sprintf("task_id=%d", first+i), "timezone=UTC", "service=shell"}, step.args...)
				p.add(version0, typeAccounting, request([]byte{step.flags}, packets.User(who[i-from]), args), []byte{0, 0, 0, 0, 1})
			}
		}
	}
	return p
}
