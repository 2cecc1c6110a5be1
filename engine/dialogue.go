package engine

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"trine/engine/attribute"
	"trine/engine/credential"
	"trine/engine/credential/certificate"
	"trine/engine/credential/kerberos"
	"trine/engine/credential/webauthn"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/policy"
	"trine/engine/state"
	"trine/engine/trace"
)

// Round is one request of a login over pages, as a web front makes it of what a browser sent. A login begins with a round that has a Demand and no State, and
// goes on with the State of the Step before.
type Round struct {
	Protocol string         // "oidc", "saml", ...
	Cache    *policy.Cache  // loaded once for the round; nil: the one in force
	Client   *policy.Client // who asks; its Issuer decides. Issuer.Portal() where a person came by himself
	Source   netip.AddrPort
	Browser  []byte // tells one browser of a person from another, for adaptive rules; empty: the address does
	// Familiar are the people who have logged in with this browser before, by their ids, as a front can prove. Their failures count for the browser, and a lock of their
	// names everywhere does not hold there; those of all others count for the address, since whoever guesses can have as many browsers as he likes.
	Familiar []uint64

	Session string // the id of the session that the browser has, from its cookie; empty: none
	Device  string // the secret of a trusted device, from its cookie; empty: none
	State   []byte // of the Step before; nil: the login begins
	Demand  login.Demand
	Name    []byte // the login name that the person typed

	// Factor is what the person chose or answers; NoFactor where he has not yet. With nothing in Proof it is begun: a code is sent, a device is asked, a
	// ceremony begins.
	Factor login.Factor
	Proof  Proof

	// NewPassword is what the person wants in place of the password that he has proved since the login began, where the user type lets him. It counts in the round
	// that ends the login, after every factor, and is asked for there (Step.MustChangePassword) where the password is too old or must be changed.
	NewPassword []byte
	// Trust asks to make the device a trusted one under this name, once the login is done; empty: not.
	Trust string
	// Reference is what the protocol will need to tell the service provider that the session has ended.
	Reference []byte
	// NoSession says that the login leads to no session of single sign-on, as where a client has asked for the password; the one of Session counts all the same.
	NoSession bool
	// RelyingParty makes and verifies WebAuthn ceremonies for the site that the page is of; nil: FIDO cannot be chosen.
	RelyingParty *webauthn.RelyingParty
}

// Proof is what a round brings to prove its Factor: of one kind, by the factor.
type Proof struct {
	Typed       []byte                 // Password, OTP, Email, SMS, PIN; of Push anything, to ask whether the device has answered
	Certificate *certificate.Presented // what the browser presented over TLS, or a proxy passed on
	Kerberos    *kerberos.Outcome      // what the acceptor of the site said
	External    *External
	Assertion   []byte // FIDO: what navigator.credentials.get returned
}

// External is whom an external identity provider says that a person is. The broker has verified it.
type External struct {
	Provider string // public id
	User     string // the login name here that the broker has mapped it to
}

// given reports whether there is anything to verify.
func (p *Proof) given() bool {
	return p.Typed != nil || p.Certificate != nil || p.Kerberos != nil || p.External != nil || p.Assertion != nil
}

// Step is what a round came to. Verdict says what the front does: with event.Challenge it asks the person for one of Choices, or for Asked, and comes again
// with State; with event.Accept it is done; with event.Reject the login is refused, and where there is a State the person may try again from there; with
// event.Discard this node cannot tell now.
type Step struct {
	Verdict event.Verdict
	Reason  trace.Reason
	ID      uint64 // of the decision, for `trine explain`; 0: none was recorded, as nothing was proved

	State   []byte
	Choices login.Set    // of which the person proves one next
	Asked   login.Factor // what was begun and waits for its proof; NoFactor if nothing was
	Number  uint8        // of a push challenge, which the page shows
	Options []byte       // of a WebAuthn ceremony, for navigator.credentials.get
	Message string       // what the person should read, in English; pages have their own words by Asked and Reason
	// Familiar says that the person has logged in with this browser before (Round.Familiar), or has a session there: he may be told of a lock.
	Familiar bool

	// Of an accept.
	User     string
	UserID   uint64
	Name     string // the user name that the service provider is told
	Released []attribute.Released
	Session  SessionGrant
	Proofs   []login.Proven // the factors that count
	Since    time.Time      // of the oldest of those that satisfy the demand (auth_time)
	Class    string         // authentication context (acr, AuthnContextClassRef)
	Device   DeviceGrant    // made at this login; its Secret is empty if none was

	// MustChangePassword asks for Round.NewPassword: nothing else is wanted. Reason says why the present one will not do; after a new one that was refused, what it
	// lacks is in Message.
	MustChangePassword bool
}

// SessionGrant is the session that a login leaves a browser with.
type SessionGrant struct {
	Number uint64 // by which it is known; no secret
	// ID is what the browser has to keep from now on in place of what it had; empty: it keeps what it has. Nobody but the browser is told.
	ID       string
	NotAfter time.Time // from then on it is over whatever happens
	Began    bool      // with this login
}

// DeviceGrant is a device that has become a trusted one.
type DeviceGrant struct {
	ID       string
	Secret   string // what the browser has to keep
	NotAfter time.Time
}

// The bounds of a login over pages.
const (
	dialogueLife   = 10 * time.Minute
	codeAttempts   = 5
	behindPatience = 500 * time.Millisecond // how long a round waits for the log that the round before was answered from
)

// dialogue is a round while it is decided.
type dialogue struct {
	round     *Round
	state     login.Dialogue
	choices   login.Set
	asked     login.Factor
	number    uint8
	options   []byte
	message   string
	session   *state.SSO // that the browser has and that counts; nil: none
	hash      state.SSOHash
	trusted   *state.TrustedDevice // that the browser has and that counts; nil: none
	certified bool                 // the browser presented a client certificate that is good
	named     string               // whom a certificate, ticket or external account names
	standing  login.Standing
	since     []login.Proven // what was proved since the login began, this round included
	acted     bool           // something was proved, sent or used up: the round is recorded whatever comes of it
	id        []byte         // of a new session or one that goes on, 32 bytes
	secret    []byte         // of a new trusted device
	grant     SessionGrant
	device    DeviceGrant
	alone     bool // the session of the browser was gone when it was to go on, so another begins
	guess     bool // the proof was wrong, and may have been a guess, or the new password would not do: the person may try again
	renewed   bool // the password was changed in this round
	done      chan struct{}
}

// Decided implements Delivery.
func (d *dialogue) Decided(*Request) { close(d.done) }

// pages is what rounds share.
type pages struct {
	mu       sync.Mutex
	lane     *Lane // makes their ids
	touches  Proposer
	calls    *calls
	requests sync.Pool // of *Request, for decisions about tokens
	keys     keyRing   // by which identity providers sign
}

func (p *pages) init(e *Engine) {
	p.lane, p.touches = e.NewLane(), e.config.Log.Proposer(ignored{})
	p.calls = newCalls(e)
	p.requests.New = func() any { return new(Request) }
}

func (p *pages) newID() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lane.newID()
}

// ignored learns outcomes that nobody waits for: a session whose use was not recorded is used again.
type ignored struct{}

// Committed implements Completion.
func (ignored) Committed(uint64, Outcome) {}

// Converse decides one round. It waits for what takes its time, until the context's deadline, and may be called from any goroutine.
func (e *Engine) Converse(ctx context.Context, round *Round) Step {
	d := &dialogue{round: round, done: make(chan struct{})}
	deadline, _ := ctx.Deadline()
	r := &Request{
		Protocol: round.Protocol, Cache: round.Cache, Client: round.Client, Source: round.Source, Name: round.Name, Calling: round.Browser,
		Enable: -1, Arrived: e.clock(), Deadline: deadline, Done: d, Continues: true, dialogue: d,
	}
	e.begin(r, e.pages.newID())
	r.work.late = true
	waits := e.openRound(ctx, r)
	if !waits {
		e.finish(r)
	} else {
		<-d.done
	}
	return e.step(r)
}

// finish records a round that is decided on its own goroutine, where there is anything to record.
func (e *Engine) finish(r *Request) {
	if r.Decision.Verdict == event.Challenge && !r.dialogue.acted { // nobody has said who he is, or proved it
		close(r.dialogue.done)
		return
	}
	e.settleLate(r)
	<-r.dialogue.done
}

// openRound begins a round: who asks, from which state, with which session, for whom. It returns true if the round waits.
func (e *Engine) openRound(ctx context.Context, r *Request) (waits bool) {
	d := r.dialogue
	e.admitClient(r)
	client := r.Client
	switch {
	case client.Issuer == nil:
		r.trace.Add(trace.IssuerNone, client.Name, "")
		r.reject(trace.IssuerMissing)
		return false
	case client.Broken != nil:
		r.trace.Add(trace.ClientIsBad, client.Name, client.Broken.Error())
		r.reject(trace.ConfigBroken)
		return false
	case client.Issuer.SSO == nil:
		r.trace.Add(trace.ClientIsBad, client.Issuer.Name, "it has no session of single sign-on")
		r.reject(trace.ConfigBroken)
		return false
	}
	r.trace.Add(trace.IssuerChosen, client.Issuer.Name, "")
	if reason := e.resumeDialogue(ctx, r); reason != trace.OK {
		return e.refused(r, reason)
	}
	if reason := e.readSession(ctx, r); reason != trace.OK {
		return e.refused(r, reason)
	}
	if reason := e.whom(ctx, r); reason != trace.OK {
		d.acted = true
		return e.refused(r, reason)
	}
	if len(r.Name) > 0 {
		e.identify(r)
		if reason := e.sameAsBefore(r); reason != trace.OK {
			return e.refused(r, reason)
		}
	}
	if d.round.Factor != login.NoFactor && len(r.Name) > 0 {
		if reason := e.Locked(r, password); reason != trace.OK {
			return e.refused(r, reason)
		}
	}
	return e.choose(r)
}

// resumeDialogue reads the state that a round goes on from, or makes that of a login that begins.
func (e *Engine) resumeDialogue(ctx context.Context, r *Request) trace.Reason {
	d := r.dialogue
	if len(d.round.State) == 0 {
		d.state = login.Dialogue{Issuer: r.Client.Issuer.Name, Client: r.Client.Name, Demand: d.round.Demand, NotAfter: e.TermFrom().Add(dialogueLife).Truncate(time.Second)}
		if told := demandWords(&d.state.Demand); told != "" {
			r.trace.Add(trace.DemandMade, told, "")
		}
		return trace.OK
	}
	void := func(why string, reason trace.Reason) trace.Reason {
		r.trace.Add(trace.ChallengeVoid, why, "")
		return reason
	}
	st, err := login.OpenDialogue(d.round.State, e.config.Keyring)
	switch {
	case err != nil:
		return void(err.Error(), trace.ChallengeInvalid)
	case st.Client != r.Client.Name || st.Issuer != r.Client.Issuer.Name:
		return void("it was made for another service provider", trace.ChallengeInvalid)
	case e.now().After(st.NotAfter):
		return void("its time is over", trace.ChallengeExpired)
	case !e.reaches(ctx, st.Index):
		return void("this node has not applied the log as far as the one that asked", trace.LogBehind)
	case st.ID != 0 && e.config.People.Consumed(challengeKey(st.ID)):
		return void("it was answered before", trace.ChallengeUsed)
	}
	d.state = st
	if st.ID != 0 {
		r.trace.Add(trace.ChallengeAnswered, event.FormatID(st.ID), "")
	}
	return trace.OK
}

// reaches waits, a short time, until this node has applied the log as far as an index.
func (e *Engine) reaches(ctx context.Context, index uint64) bool {
	for end := time.Now().Add(behindPatience); e.config.People.AppliedIndex() < index; {
		if ctx.Err() != nil || time.Now().After(end) {
			return false
		}
		time.Sleep(5 * time.Millisecond)
	}
	return true
}

// demandWords tells a demand; empty where it asks for nothing.
func demandWords(d *login.Demand) string {
	var words []string
	if len(d.Classes) > 0 {
		words = append(words, [...]string{"one of ", "at least one of ", "better than ", "at most one of "}[d.Comparison]+strings.Join(d.Classes, ", "))
	}
	if d.Bounded {
		words = append(words, "factors proved within "+d.MaxAge.String())
	}
	if d.Force {
		words = append(words, "a login anew")
	}
	if d.Passive {
		words = append(words, "that the person is not disturbed")
	}
	return strings.Join(words, "; ")
}

// readSession looks up the session that the browser has, where it counts for this identity provider.
func (e *Engine) readSession(ctx context.Context, r *Request) trace.Reason {
	d := r.dialogue
	if d.round.Session == "" {
		return trace.OK
	}
	void := func(why string) trace.Reason {
		r.trace.Add(trace.SSOVoid, why, "")
		return trace.OK
	}
	index, hash, ok := parseSessionID(d.round.Session)
	if !ok {
		return void("it is no id of a session")
	}
	if !e.reaches(ctx, index) {
		r.trace.Add(trace.SSOVoid, "this node has not applied the log as far as the one that made it", "")
		return trace.LogBehind
	}
	x, ok := e.config.People.SSO(hash)
	switch {
	case !ok:
		return void("it has ended, or goes on under another id")
	case !x.Live(e.now().Unix()):
		return void("it is over")
	case x.Scope != r.Client.Issuer.SSO.Scope:
		return void("it is of other identity providers")
	}
	var factors login.Set
	for _, p := range x.Proofs {
		factors |= login.SetOf(login.Factor(p.Factor))
	}
	r.trace.Add(trace.SSOCounts, event.FormatID(x.Number), factors.String())
	d.session, d.hash = &x, hash
	return trace.OK
}

// parseSessionID returns the hash under which a session is kept, of the id that its browser has, and the log index from which on it can be found; ok is false
// for what is no id of a session.
func parseSessionID(id string) (index uint64, hash state.SSOHash, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(b) != 8+32 {
		return 0, hash, false
	}
	return binary.BigEndian.Uint64(b), sha256.Sum256(b[8:]), true
}

// formatSessionID returns the id that a browser gets.
func formatSessionID(index uint64, id []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(binary.BigEndian.AppendUint64(nil, index), id...))
}

// whom finds out under which name the round goes on: the one of the state, else the one that its proof names, else the one that was typed, else that of the
// session.
func (e *Engine) whom(ctx context.Context, r *Request) trace.Reason {
	d := r.dialogue
	if reason := e.nameByProof(ctx, r); reason != trace.OK {
		return reason
	}
	switch st := &d.state; {
	case st.User != "":
		r.Name = []byte(st.User)
	case d.named != "":
		r.Name = []byte(d.named)
	case len(d.round.Name) > 0:
		r.Name = d.round.Name
	case d.session != nil:
		r.Name = []byte(d.session.User)
	case d.round.Proof.given() || login.SetOf(login.SMS, login.Email, login.Push).Has(d.round.Factor):
		r.trace.AddName(trace.NameCame, nil, "")
		return trace.UserMissing
	}
	if len(r.Name) > 0 {
		r.trace.AddName(trace.NameCame, r.Name, "")
	}
	return trace.OK
}

// nameByProof verifies what names its person by itself.
func (e *Engine) nameByProof(ctx context.Context, r *Request) trace.Reason {
	d, p := r.dialogue, &r.dialogue.round.Proof
	switch d.round.Factor {
	case login.Certificate:
		if p.Certificate != nil {
			return e.nameByCertificate(ctx, r)
		}
	case login.Kerberos:
		if k := p.Kerberos; k != nil {
			if k.Reason != trace.OK {
				r.trace.Add(trace.TicketRefused, fmt.Sprint(k.Err), "")
				return k.Reason
			}
			r.trace.Add(trace.TicketCame, k.Principal, k.Service)
			r.trace.Add(trace.PrincipalMapped, k.User, k.Principal)
			d.named = k.User
		}
	case login.ExternalIdP:
		if x := p.External; x != nil {
			r.trace.Add(trace.ExternalAccepted, x.Provider, x.User)
			d.named = x.User
		}
	case login.FIDO:
		if p.Assertion != nil && d.state.User == "" { // a passkey says who he is
			a, outcome := webauthn.ReadAssertion(p.Assertion)
			if outcome.Reason != trace.OK {
				outcome.Record(&r.trace, "")
				return outcome.Reason
			}
			var u state.User
			id, err := login.OpenHandle(e.config.Keyring, a.Handle())
			if err != nil || !e.config.People.UserByID(&u, id) {
				return trace.WebAuthnCredential
			}
			d.named = string(u.Name)
		}
	}
	return trace.OK
}

// sameAsBefore checks that it is still the person who has proved something, and that what was proved now is of him.
func (e *Engine) sameAsBefore(r *Request) trace.Reason {
	d, st := r.dialogue, &r.dialogue.state
	if st.UserID != 0 {
		switch {
		case !r.work.found.ok || r.user.ID != st.UserID:
			r.trace.Add(trace.ChallengeVoid, "it was made for another user", "")
			return trace.ChallengeInvalid
		case r.user.CredentialVersion != st.Version:
			r.trace.Add(trace.ChallengeVoid, "the password was changed meanwhile", "")
			return trace.ChallengeExpired
		}
	}
	if d.named != "" && r.work.found.ok {
		var u state.User
		if !e.config.People.User(&u, []byte(d.named)) || u.ID != r.user.ID {
			d.acted = true
			r.trace.Add(trace.FactorOfAnother, d.round.Factor.String(), d.named)
			return trace.FactorMismatch
		}
	}
	return trace.OK
}

// trustedDevice finds the trusted device that the browser has, where it counts.
func (e *Engine) trustedDevice(r *Request) *state.TrustedDevice {
	d := r.dialogue
	if d.trusted != nil || d.round.Device == "" || !r.work.found.ok {
		return d.trusted
	}
	if r.Client.Issuer.TrustedDevices == nil {
		return nil
	}
	secret, err := base64.RawURLEncoding.DecodeString(d.round.Device)
	if err != nil || len(secret) != 32 {
		r.trace.Add(trace.DeviceVoid, "it is no secret of a trusted device", "")
		return nil
	}
	hash := state.SSOHash(sha256.Sum256(secret))
	for _, t := range e.config.People.TrustedDevices(r.user.ID) {
		if subtle.ConstantTimeCompare(t.Hash[:], hash[:]) != 1 {
			continue
		}
		if e.now().Unix() >= t.NotAfter {
			r.trace.Add(trace.DeviceVoid, "it is over", "")
			return nil
		}
		d.trusted = &t
		return d.trusted
	}
	r.trace.Add(trace.DeviceVoid, "it is none of the user's, or was revoked", "")
	return nil
}

// proven returns what counts of the session, and what was proved since the login began, this round included.
func (r *Request) proven(now time.Time) (session, since []login.Proven) {
	d := r.dialogue
	if x := d.session; x != nil && r.work.found.ok && event.FoldName(x.User) == event.FoldName(string(r.user.Name)) {
		for _, p := range x.Proofs {
			session = append(session, login.Proven{Factor: login.Factor(p.Factor), At: time.Unix(p.At, 0), Login: p.Login, Device: p.Device})
		}
	}
	since = slices.Clone(d.state.Proved)
	for f := login.Password; f <= login.Push; f++ {
		if r.work.proved.Has(f) {
			since = append(since, login.Proven{Factor: f, At: now, Login: r.Decision.ID})
		}
	}
	return session, since
}

// byPassword reports whether the person has proved his password since the login began.
func (r *Request) byPassword() bool {
	return r.Proof.Method == credential.Page || slices.ContainsFunc(r.dialogue.state.Proved, func(p login.Proven) bool { return p.Factor == login.Password })
}

// carriedOverPages are the factors that a person can be asked for without his having enrolled them here.
func carriedOverPages(r *Request) login.Set {
	s := login.SetOf(login.Kerberos, login.ExternalIdP)
	if r.Client.Issuer.Certificates != nil {
		s |= login.SetOf(login.Certificate)
	}
	return s
}

// onward goes on with what was proved so far: it is enough, or something is wanted next. It returns true if the round waits.
func (e *Engine) onward(r *Request) (waits bool) {
	d, now := r.dialogue, e.now().Truncate(time.Second)
	session, since := r.proven(now)
	possible := ^login.Set(0)
	if d.round.RelyingParty == nil {
		possible &^= login.SetOf(login.FIDO)
	}
	if r.Client.Issuer.Certificates == nil {
		possible &^= login.SetOf(login.Certificate)
	}
	if len(session)+len(since) > 0 { // who somebody is must be known before it is told what he has
		has := e.enrolled(r) | carriedOverPages(r)
		if r.user.HasPassword() {
			has |= login.SetOf(login.Password)
		}
		possible &= has
	}
	s := d.state.Demand.Weigh(&login.Circumstance{Matrix: r.work.matrix, Session: session, Now: since, Possible: possible, Trusted: e.trustedDevice(r) != nil, At: now})
	d.standing, d.since = s, since
	switch {
	case s.Satisfied:
		return e.satisfied(r)
	case s.Reason == trace.FactorNeeded:
		d.choices = s.Next
		r.trace.Add(trace.NextWanted, s.Next.String(), "")
		e.goOn(r, since)
		return false
	default:
		r.trace.Add(trace.FactorMissing, s.Missing.String(), "")
		r.reject(s.Reason)
		return false
	}
}

// goOn decides that the login goes on in another round.
func (e *Engine) goOn(r *Request, since []login.Proven) {
	d := r.dialogue
	st := &d.state
	st.Proved = since
	if len(since) > 0 || st.Asked != login.NoFactor || st.ID != 0 {
		st.ID = r.Decision.ID
		e.own(r)
	}
	e.sealState(r)
}

// own makes the state that of the person whom the round was for.
func (e *Engine) own(r *Request) {
	st := &r.dialogue.state
	if st.User == "" {
		st.User, st.Nobody = string(r.work.found.looked), !r.work.found.ok
	}
	if r.work.found.ok {
		st.User, st.UserID, st.Version, st.Nobody = string(r.user.Name), r.user.ID, r.user.CredentialVersion, false
	}
	st.Index = e.config.People.AppliedIndex()
}

// sealState makes the round a challenge with its state.
func (e *Engine) sealState(r *Request) {
	d := r.dialogue
	sealed, err := d.state.Seal(e.config.Keyring)
	if err != nil {
		r.trace.Add(trace.FactorMissing, d.choices.String(), err.Error())
		r.discard(trace.LogNotRecorded)
		return
	}
	r.Decision.deny(event.Challenge, trace.FactorNeeded)
	r.Decision.State = append(r.Decision.State[:0], sealed...)
}

// satisfied goes on once enough was proved.
func (e *Engine) satisfied(r *Request) (waits bool) {
	d, s := r.dialogue, &r.dialogue.standing
	if r.work.proved == 0 { // nothing was verified in this round, so nothing has asked about the person
		if r.user.Inactive {
			r.trace.AddName(trace.UserIsOff, r.user.Name, "")
			r.reject(trace.UserInactive)
			return false
		}
		r.meet(e.now())
		if reason := e.kind(r, r.Cache.UserType(r.user.UserType)); reason != trace.OK {
			r.reject(reason)
			return false
		}
	}
	r.trace.Add(trace.WaySatisfied, s.Way.String(), r.Client.Issuer.Name)
	if s.Device != login.NoFactor {
		r.trace.Add(trace.DeviceStands, trustedName(d.trusted), s.Device.String())
	}
	for _, p := range s.Proofs {
		r.work.proved |= login.SetOf(p.Factor)
	}
	return e.entitled(r)
}

func trustedName(t *state.TrustedDevice) string {
	if t.Label != "" {
		return t.Label
	}
	return t.ID
}

// random returns 32 random bytes.
func random() []byte {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil { // it never does
		violated("randomness", "%v", err)
	}
	return b
}

// step tells the front what a round that is decided came to.
func (e *Engine) step(r *Request) Step {
	d, q := r.dialogue, &r.Decision
	s := Step{Verdict: q.Verdict, Reason: q.Reason, ID: q.ID, Message: q.Message, MustChangePassword: q.MustChangePassword, Familiar: r.familiar()}
	switch q.Verdict {
	case event.Challenge:
		s.State, s.Choices, s.Asked, s.Number, s.Options, s.Message = slices.Clone(q.State), d.choices, d.asked, d.number, d.options, d.message
		if !d.acted {
			s.ID = 0
		}
	case event.Reject:
		s.State = e.again(r)
		s.MustChangePassword = s.MustChangePassword && s.State != nil
	case event.Accept:
		s.User, s.UserID, s.Name, s.Released = string(q.User), q.UserID, string(q.UID), q.Released
		if s.Name == "" {
			s.Name = s.User
		}
		s.Session, s.Device, s.Proofs, s.Since, s.Class = d.grant, d.device, d.standing.Proofs, d.standing.Since, d.standing.Class
	}
	return s
}

// again returns the state from which a person may try again whose proof was wrong; nil where he may not. What was used up with the wrong one comes anew.
func (e *Engine) again(r *Request) []byte {
	d := r.dialogue
	if !d.guess && !guessed(r.Decision.Reason) || r.work.stage == atSession {
		return nil
	}
	st := d.state
	if st.ID != 0 {
		st.ID = r.Decision.ID
	}
	if st.Code != nil {
		if st.Failures++; st.Failures >= codeAttempts {
			st.Code, st.Asked = nil, login.NoFactor
		}
	}
	st.WebAuthn, st.Push = nil, login.PushRound{}
	st.Index = e.config.People.AppliedIndex()
	sealed, err := st.Seal(e.config.Keyring)
	if err != nil {
		return nil
	}
	return sealed
}
