package packets

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"math/rand/v2"

	"layeh.com/radius/rfc2759"
)

// User returns the name of the i-th of the people in the benchmarks.
func User(i int) string { return fmt.Sprintf("user%06d", i) }

// Password returns the password of the i-th.
func Password(i int) string { return fmt.Sprintf("secret-%06d", i) }

// Method is how a login proves its password.
type Method uint8

// The methods.
const (
	PAP Method = iota
	CHAP
	MSCHAPv2
)

// Logins builds n logins by people drawn from the first users, in no order.
func Logins(c Config, m Method, n, users int) *Pool {
	c.Seed ^= uint64(m) << 56 // authenticators of its own
	p := newPool(c, n, 180)
	who := rand.New(rand.NewPCG(c.Seed, 3))
	for range n {
		p.login(m, who.IntN(users))
	}
	return p
}

// Each builds a login with PAP for each of the first users, once, in order; the number is rounded up to fill all slots.
func Each(c Config, users int) *Pool {
	n := users + (c.Slots-users%c.Slots)%c.Slots
	p := newPool(c, n, 180)
	p.once = true
	for i := range n {
		p.login(PAP, i%users)
	}
	return p
}

// Wrong builds n logins with wrong passwords, PAP, of people drawn from first to first+users-1.
func Wrong(c Config, n, first, users int) *Pool {
	p := newPool(c, n, 140)
	who := rand.New(rand.NewPCG(c.Seed, 99))
	for range n {
		u := first + who.IntN(users)
		p.access(u)
		p.attribute(userPassword, p.hide(fmt.Sprintf("wrong-%08x", who.Uint32())))
		p.sign()
	}
	return p
}

// Status builds n Status-Server requests (RFC 5997).
func Status(c Config, n int) *Pool {
	p := newPool(c, n, 50)
	for range n {
		p.begin(statusServer)
		p.attribute(messageAuthenticator, make([]byte, 16))
		p.number(nasIPAddress, 0x7f000001)
		p.sign()
	}
	return p
}

// access begins a login of the u-th user as a wireless controller sends it.
func (p *Pool) access(u int) {
	p.begin(accessRequest)
	p.attribute(messageAuthenticator, make([]byte, 16))
	p.text(userName, "user%06d", u)
	p.device(u)
	p.number(serviceType, 2)
}

// device adds what tells the device and the port of the u-th user.
func (p *Pool) device(u int) {
	p.number(nasIPAddress, 0x7f000001)
	p.text(nasIdentifier, "controller-%03d", u%200)
	p.number(nasPort, uint32(u%4096))
	p.number(nasPortType, 19)
	p.text(callingStationID, "02-00-%02X-%02X-%02X-%02X", byte(u>>24), byte(u>>16), byte(u>>8), byte(u))
	p.text(calledStationID, "00-11-22-33-44-%02X:campus", byte(u%200))
}

func (p *Pool) login(m Method, u int) {
	p.access(u)
	switch m {
	case PAP:
		p.attribute(userPassword, p.hide(Password(u)))
	case CHAP:
		challenge := p.draw(16)
		id := byte(p.made)
		sum := md5.Sum(append(append([]byte{id}, Password(u)...), challenge...))
		p.attribute(chapPassword, append([]byte{id}, sum[:]...))
		p.attribute(chapChallenge, challenge)
	case MSCHAPv2:
		p.msCHAPv2(u)
	}
	p.sign()
}

func (p *Pool) draw(n int) []byte {
	b := make([]byte, n)
	_, _ = p.random.Read(b) // cannot fail
	return b
}

// hide encrypts a password of up to 16 bytes (RFC 2865 section 5.2).
func (p *Pool) hide(password string) []byte {
	mask := md5.Sum(append(append(p.scratch[:0], p.secret...), p.authenticator()...))
	for i := range password {
		mask[i] ^= password[i]
	}
	return mask[:]
}

// msCHAPv2 adds challenge and response (RFC 2548 section 2.3), and remembers what the server must answer.
func (p *Pool) msCHAPv2(u int) {
	name, password := []byte(User(u)), []byte(Password(u))
	challenge, peer := p.draw(16), p.draw(16)
	response, err := rfc2759.GenerateNTResponse(challenge, peer, name, password)
	if err != nil {
		panic(err) // the password is no UTF-8, which Password makes sure of
	}
	success, err := rfc2759.GenerateAuthenticatorResponse(challenge, peer, response, name, password)
	if err != nil {
		panic(err)
	}
	id := byte(p.made)
	p.success = append(p.success, []byte(success))
	p.vendor(msChapChal, challenge)
	p.vendor(msChap2Resp, bytes.Join([][]byte{{id, 0}, peer, make([]byte, 8), response}, nil))
}

// A session's records.
const (
	statusStart   = 1
	statusStop    = 2
	statusInterim = 3
)

// Sessions builds the records of n sessions of people drawn from the first users: a login if asked, a start, interims as many as asked,
// and a stop if asked. Each session keeps to one slot, so its records are sent in order, each after the answer to the one before.
type Sessions struct {
	N, Users   int
	Login      bool
	Interims   int
	Stop       bool
	Began      int64 // when sessions began, seconds since 1970
	FirstOfAll int   // number of the first session; each number is a session of its own
	InOrder    bool  // session i is that of user i%Users
}

// Accounting builds accounting records; each may be sent once only.
func Accounting(c Config, s Sessions) *Pool {
	each := 1 + s.Interims
	if s.Login {
		each++
	}
	if s.Stop {
		each++
	}
	s.N -= s.N % c.Slots
	p := newPool(c, s.N*each, 240)
	p.once = true
	who := rand.New(rand.NewPCG(c.Seed, 7))
	users := make([]int, c.Slots)
	for first := 0; first < s.N; first += c.Slots {
		for i := range users {
			users[i] = who.IntN(s.Users)
			if s.InOrder {
				users[i] = (first + i) % s.Users
			}
		}
		for step := range each {
			for i, u := range users {
				p.record(&s, step, s.FirstOfAll+first+i, u)
			}
		}
	}
	return p
}

// record builds what the given step of a session is.
func (p *Pool) record(s *Sessions, step, session, u int) {
	if s.Login {
		if step == 0 {
			p.login(PAP, u)
			return
		}
		step--
	}
	status := uint32(statusInterim)
	switch {
	case step == 0:
		status = statusStart
	case step > s.Interims:
		status = statusStop
	}
	p.begin(accountingRequest)
	p.number(acctStatusType, status)
	p.text(userName, "user%06d", u)
	p.device(u)
	var id [16]byte
	p.attribute(acctSessionID, hexadecimal(id[:], mix(uint64(session))))
	p.number(framedIPAddress, 10<<24|uint32(session)&0xffffff)
	p.number(acctAuthentic, 1)
	p.number(eventTimestamp, uint32(s.Began)+uint32(step)*300)
	if step > 0 {
		n := uint32(step)
		p.number(acctSessionTime, n*300)
		p.number(acctInputOctets, n*123_456)
		p.number(acctOutputOctets, n*1_234_567)
		p.number(acctInputPackets, n*1_234)
		p.number(acctOutputPackets, n*2_345)
	}
	if status == statusStop {
		p.number(acctTerminateCause, 1)
	}
	p.sign()
}

func hexadecimal(dst []byte, n uint64) []byte {
	const digits = "0123456789abcdef"
	for i := range dst {
		dst[i] = digits[n>>(60-4*i)&15]
	}
	return dst
}

// mix is the finalizer of SplitMix64: session ids that differ in all digits.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
