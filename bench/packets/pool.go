package packets

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// Codes of packets (RFC 2865 section 3).
const (
	accessRequest      = 1
	accessAccept       = 2
	accountingRequest  = 4
	accountingResponse = 5
	statusServer       = 12
)

// Attributes (RFC 2865, 2866, 2869, 3579).
const (
	userName             = 1
	userPassword         = 2
	chapPassword         = 3
	nasIPAddress         = 4
	nasPort              = 5
	serviceType          = 6
	framedIPAddress      = 8
	vendorSpecific       = 26
	calledStationID      = 30
	callingStationID     = 31
	nasIdentifier        = 32
	acctStatusType       = 40
	acctInputOctets      = 42
	acctOutputOctets     = 43
	acctSessionID        = 44
	acctAuthentic        = 45
	acctSessionTime      = 46
	acctInputPackets     = 47
	acctOutputPackets    = 48
	acctTerminateCause   = 49
	eventTimestamp       = 55
	chapChallenge        = 60
	nasPortType          = 61
	messageAuthenticator = 80
)

const (
	vendorMicrosoft = 311 // RFC 2548
	msChapChal      = 11
	msChap2Resp     = 25
	msChap2Succes   = 26
	headerBytes     = 20
)

// Pool is a generator.Load of RADIUS requests, one behind the other in one piece of memory.
type Pool struct {
	data    []byte
	offsets []uint32
	secret  []byte
	slots   int
	once    bool
	signed  bool
	success [][]byte // of MS-CHAPv2: what MS-CHAP2-Success must say
	random  *rand.ChaCha8
	scratch []byte
	made    int
	began   int // where the packet under construction begins
}

// Config says how the requests of a pool are made.
type Config struct {
	Secret string
	Slots  int    // requests under way at most; the Identifier of request i is i%Slots%256
	Seed   uint64 // different seeds give different authenticators and sessions
}

func newPool(c Config, capacity, size int) *Pool {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], c.Seed)
	return &Pool{
		data: make([]byte, 0, capacity*size), offsets: make([]uint32, 1, capacity+1), secret: []byte(c.Secret), slots: c.Slots,
		random: rand.NewChaCha8(seed), scratch: make([]byte, 0, 8192),
	}
}

// Len returns how many requests there are.
func (p *Pool) Len() int { return len(p.offsets) - 1 }

// Slots returns how many requests may be under way at once.
func (p *Pool) Slots() int { return p.slots }

// Once reports whether each request may be sent once only.
func (p *Pool) Once() bool { return p.once }

// Request returns the i-th request.
func (p *Pool) Request(i int) []byte { return p.data[p.offsets[i]:p.offsets[i+1]] }

// DemandSigned says whether Check demands a Message-Authenticator in every answer but an Accounting-Response. One that is there is
// verified in any case.
func (p *Pool) DemandSigned(demand bool) { p.signed = demand }

// Target returns 1 for accounting, which goes to the second address, and 0 for everything else.
func (p *Pool) Target(i int) int {
	if p.data[p.offsets[i]] == accountingRequest {
		return 1
	}
	return 0
}

// begin starts a packet with its header; the authenticator is random.
func (p *Pool) begin(code byte) {
	p.began = len(p.data)
	p.data = append(p.data, code, byte(p.made%p.slots), 0, 0)
	var authenticator [16]byte
	_, _ = p.random.Read(authenticator[:]) // cannot fail
	p.data = append(p.data, authenticator[:]...)
}

// authenticator is that of the packet under construction.
func (p *Pool) authenticator() []byte { return p.data[p.began+4 : p.began+headerBytes] }

func (p *Pool) attribute(kind byte, value []byte) {
	p.data = append(append(p.data, kind, byte(2+len(value))), value...)
}

func (p *Pool) text(kind byte, format string, a ...any) {
	at := len(p.data)
	p.data = fmt.Appendf(append(p.data, kind, 0), format, a...)
	p.data[at+1] = byte(len(p.data) - at)
}

func (p *Pool) number(kind byte, n uint32) {
	p.data = binary.BigEndian.AppendUint32(append(p.data, kind, 6), n)
}

// vendor adds one attribute of Microsoft's.
func (p *Pool) vendor(kind byte, value []byte) {
	p.data = append(p.data, vendorSpecific, byte(8+len(value)))
	p.data = binary.BigEndian.AppendUint32(p.data, vendorMicrosoft)
	p.data = append(append(p.data, kind, byte(2+len(value))), value...)
}

// sign ends the packet. A request that begins with a Message-Authenticator gets its value (RFC 3579 section 3.2), an
// Accounting-Request its authenticator (RFC 2866 section 3).
func (p *Pool) sign() {
	packet := p.data[p.began:]
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	if packet[0] == accountingRequest {
		clear(packet[4:headerBytes])
		sum := md5.Sum(append(append(p.scratch[:0], packet...), p.secret...))
		copy(packet[4:], sum[:])
	} else {
		sum := p.hmac(packet)
		copy(packet[headerBytes+2:], sum[:])
	}
	p.offsets = append(p.offsets, uint32(len(p.data)))
	p.made++
}

// hmac is HMAC-MD5 (RFC 2104) under the secret, which is shorter than a block.
func (p *Pool) hmac(message []byte) [16]byte {
	b := p.scratch[:64]
	pad(b, p.secret, 0x36)
	inner := md5.Sum(append(b, message...))
	pad(b, p.secret, 0x5c)
	return md5.Sum(append(b, inner[:]...))
}

func pad(b, key []byte, with byte) {
	for i := range b {
		b[i] = with
		if i < len(key) {
			b[i] ^= key[i]
		}
	}
}

// Check verifies an answer: its length, its code, the Response Authenticator (RFC 2865 section 3), the Message-Authenticator
// (RFC 3579 section 3.2) and, for MS-CHAPv2, that the server knows the password (RFC 2759 section 8.7).
func (p *Pool) Check(i int, reply []byte) error {
	request := p.Request(i)
	if len(reply) < headerBytes || int(binary.BigEndian.Uint16(reply[2:])) != len(reply) {
		return fmt.Errorf("request %d: the answer of %d bytes has another length inside", i, len(reply))
	}
	want := byte(accessAccept)
	if request[0] == accountingRequest {
		want = accountingResponse
	}
	if reply[0] != want {
		return fmt.Errorf("request %d: expected an answer with code %d, got %d", i, want, reply[0])
	}
	message := append(append(p.scratch[:0], reply...), p.secret...)
	copy(message[4:headerBytes], request[4:headerBytes])
	if md5.Sum(message) != [16]byte(reply[4:headerBytes]) {
		return fmt.Errorf("request %d: the Response Authenticator is wrong", i)
	}
	return p.checkAttributes(i, request, reply)
}

func (p *Pool) checkAttributes(i int, request, reply []byte) error {
	signed, proved := false, p.success == nil
	for at := headerBytes; at < len(reply); {
		if at+2 > len(reply) || reply[at+1] < 2 || at+int(reply[at+1]) > len(reply) {
			return fmt.Errorf("request %d: the answer's attribute at byte %d does not fit", i, at)
		}
		value := reply[at+2 : at+int(reply[at+1])]
		switch reply[at] {
		case messageAuthenticator:
			if len(value) != 16 {
				return fmt.Errorf("request %d: a Message-Authenticator of %d bytes", i, len(value))
			}
			got := [16]byte(value)
			// Over the answer with the request's authenticator, and zeros in place of the value.
			copy(reply[4:headerBytes], request[4:headerBytes])
			clear(value)
			if p.hmac(reply) != got {
				return fmt.Errorf("request %d: the Message-Authenticator is wrong", i)
			}
			signed = true
		case vendorSpecific:
			if !proved && len(value) > 7 && binary.BigEndian.Uint32(value) == vendorMicrosoft && value[4] == msChap2Succes {
				proved = bytes.HasPrefix(value[7:], p.success[i])
			}
		}
		at += 2 + len(value)
	}
	if p.signed && !signed && request[0] != accountingRequest {
		return fmt.Errorf("request %d: the answer has no Message-Authenticator", i)
	}
	if !proved {
		return fmt.Errorf("request %d: the answer does not prove that the server knows the password", i)
	}
	return nil
}
