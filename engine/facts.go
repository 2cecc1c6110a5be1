package engine

import (
	"encoding/binary"
	"math"
	"net/netip"
	"time"

	"github.com/zeebo/xxh3"

	"trine/engine/credential/otp"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/login/geo"
	"trine/engine/state"
)

// hostsRemembered is how many hosts of a user are remembered for rules that ask whether a device is new.
const hostsRemembered = 16

// fillFacts collects what adaptive rules ask of a login.
func (e *Engine) fillFacts(r *Request) {
	w := &r.work
	f := &w.facts
	*f = login.Facts{
		Now: e.clock(), User: string(r.user.Name), ServiceProvider: r.Client.PublicID, IdentityProvider: r.Client.Issuer.PublicID,
		Address: r.Source.Addr().Unmap(), Host: string(hostOf(r)), NewDevice: true, Has: e.enrolled(r),
		DeviceCertificate: r.dialogue != nil && r.dialogue.certified,
	}
	e.locate(r)
	f.FailuresOfAddress, _ = e.recent.failures(f.Now, e.recent.key(AppendAddr(nil, r.Source.Addr())))
	f.FailuresOfUser, f.LastFailure = e.recent.failures(f.Now, e.recent.key(r.failures().name))
	f.FailuresRatio = e.recent.ratio(f.Now)
	if !w.found.ok {
		f.User = string(w.found.looked)
		return
	}
	e.devices(r)
	h := &w.history
	e.config.People.LastLogin(h, r.user.ID)
	if h.At == 0 {
		return
	}
	f.LastLogin, f.LastCountry = time.Unix(h.At, 0), string(h.Country)
	f.Since = f.Now.Sub(f.LastLogin)
	if h.Located {
		before := geo.Place{Located: true, Latitude: float64(h.Latitude) / placeGrain, Longitude: float64(h.Longitude) / placeGrain}
		f.Displacement, _ = geo.Distance(before, w.place)
	}
	for i, at := range h.ByFactor[:len(f.LastByFactor)] {
		if at != 0 {
			f.LastByFactor[i] = time.Unix(at, 0)
		}
	}
	hash := hostHash(hostOf(r))
	for i := range h.Hosts {
		if string(h.Hosts[i].Hash) == string(hash[:]) {
			f.NewDevice, f.LastFromHost = false, time.Unix(h.Hosts[i].At, 0)
		}
	}
}

// placeGrain is how many units of a remembered latitude or longitude make a degree: one is some 110 metres, which is finer than what
// databases know.
const placeGrain = 1000

// locate finds out where the login comes from. A device that names the address of who logs in as its calling station, as VPN gateways do,
// says more than the address that it asks from itself.
func (e *Engine) locate(r *Request) {
	w := &r.work
	w.place = geo.Place{}
	if e.config.Places == nil || len(r.Client.Issuer.Login.Rules) == 0 {
		return
	}
	address, err := netip.ParseAddr(string(r.Calling))
	if err != nil {
		address = r.Source.Addr()
	}
	w.place, _ = e.config.Places.Load().Lookup(address)
	w.facts.Country, w.facts.Place = w.place.Country, w.place.String()
}

// devices says which kinds of one-time password devices the user has.
func (e *Engine) devices(r *Request) {
	for i := range r.work.factors.List {
		o := &r.work.factors.List[i]
		if o.Kind != uint32(login.OTP) {
			continue
		}
		if s, err := login.OpenOTP(e.config.Keyring, string(r.user.Name), string(o.ID), o.Data); err == nil {
			hotp := s.Params().Kind == otp.HOTP
			r.work.facts.HasHOTP = r.work.facts.HasHOTP || hotp
			r.work.facts.HasTOTP = r.work.facts.HasTOTP || !hotp
		}
	}
}

// counted tells the counters of failures how a login came out, where rules may ask.
func (e *Engine) counted(r *Request) {
	issuer := r.Client.Issuer
	if issuer == nil || issuer.Login == nil || len(issuer.Login.Rules) == 0 || e.aside || r.work.action != nil || r.token {
		return
	}
	switch r.Decision.Verdict {
	case event.Accept:
		e.recent.decided(e.clock(), false)
	case event.Reject:
		e.recent.decided(e.clock(), true, e.recent.key(AppendAddr(nil, r.Source.Addr())), e.recent.key(r.failures().name))
	}
}

// hostOf returns what tells one device of a person from another: the calling station, else the address that the request came from.
func hostOf(r *Request) []byte {
	if len(r.Calling) > 0 {
		return r.Calling
	}
	return AppendAddr(nil, r.Source.Addr())
}

// hostHash is under what a host is remembered: 64 bits are enough to tell a person's few devices apart, and say nothing of the others.
func hostHash(host []byte) (sum [8]byte) {
	binary.BigEndian.PutUint64(sum[:], xxh3.Hash(host))
	return sum
}

// remember proposes what the next login's rules may ask of this one, if it is a person's. Nobody waits for it: what is lost makes the next
// device look new.
func (e *Engine) remember(r *Request) {
	w := &r.work
	if len(r.Client.Issuer.Login.Rules) == 0 || w.device || e.aside {
		return
	}
	hash := hostHash(hostOf(r))
	var b event.Builder
	streams := []uint64{event.StreamKey(event.StreamUser, event.FoldName(string(r.user.Name)))}
	m := &event.LoginRemembered{User: string(r.user.Name), Host: hash[:], Factors: uint32(w.proved), Country: w.place.Country, Limit: hostsRemembered}
	if w.place.Located {
		m.Located, m.Latitude, m.Longitude = true, int32(math.Round(w.place.Latitude*placeGrain)), int32(math.Round(w.place.Longitude*placeGrain))
	}
	err := b.Add(event.TypeLoginRemembered, event.ClassIdentity, streams, m)
	if err == nil {
		err = e.memories.Propose(b.Bytes(), 0)
	}
	if err != nil {
		e.forgotten.Add(1)
	}
}

// memoriesCommitted learns what became of remembered logins.
type memoriesCommitted struct{ e *Engine }

// Committed implements Completion.
func (m memoriesCommitted) Committed(_ uint64, o Outcome) {
	if o.failure() != nil {
		m.e.forgotten.Add(1)
	}
}

// enrolled returns the factors that a user has, whether this protocol can carry them or not.
func (e *Engine) enrolled(r *Request) (s login.Set) {
	if !r.work.found.ok { // r.user is whoever it was before
		return 0
	}
	for i := range r.work.factors.List {
		switch f := &r.work.factors.List[i]; f.Kind {
		case state.RecoveryCodes:
			s |= login.SetOf(login.OTP)
		default:
			s |= login.SetOf(login.Factor(f.Kind))
		}
	}
	if e.config.Messenger == nil {
		return s &^ login.SetOf(login.Push)
	}
	if len(r.user.Mobile) > 0 {
		s |= login.SetOf(login.SMS)
	}
	if len(r.user.Mail) > 0 {
		s |= login.SetOf(login.Email)
	}
	return s
}
