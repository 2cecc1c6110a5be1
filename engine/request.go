package engine

import (
	"net/netip"
	"time"

	"trine/engine/attribute"
	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/state"
	"trine/engine/trace"
)

// Request is one login to decide. A protocol loop keeps a pool of them: Reset makes one ready for reuse. Its slices are the
// protocol's and must stay as they are until the decision is delivered.
type Request struct {
	// What the protocol fills in.
	Protocol string         // "radius", "tacacs", ...
	Cache    *policy.Cache  // loaded once for the request; nil: the one in force when it is decided
	Client   *policy.Client // who asks
	Source   netip.AddrPort // where the packet came from
	Name     []byte         // the login name as it came
	Proof    credential.Proof
	NAS      []byte // NAS-Identifier, else the packed NAS address, else empty
	Calling  []byte
	Called   []byte
	NASPort  uint32
	Port     []byte // the device's port by its name, such as "tty1"; empty where it has a number
	// Enable is the privilege level, 0 to 15, that somebody who has logged in asks for (RFC 8907 section 5.4.2.6); -1: it is a login. It counts where Client
	// speaks TACACS+.
	Enable int8
	// Changes says that it is a change of the password, by its Proof, and no login: it takes no place under a limit (RFC 8907 section 5.4.2.7).
	Changes bool
	// Attributes answers conditions that ask for anything else in the request; nil: they are false.
	Attributes RequestAttributes
	Arrived    time.Time // the node's clock
	Deadline   time.Time // past it the caller no longer waits; zero: none
	Done       Delivery  // where a decision that took its time goes
	Token      uint64    // the protocol's own mark
	State      []byte    // a challenge that the login answers, as Decision.State was; its Proof.Password is then the answer
	// Continues says that the device can be asked for another factor (Verdict Challenge), Appends that a one-time password follows the
	// password in the same field where the login needs one.
	Continues, Appends bool
	Remark             string // what Refuse or Overrule is about, in words for the trace, such as "EAP"; they empty it

	// What the engine answers with. Valid from the decision until Reset.
	Decision Decision

	user     state.User
	person   policy.Person
	endpoint state.Endpoint
	trace    trace.Trace
	facts    attribute.Facts
	dialogue *dialogue // that the login is a round of; nil: it comes by a packet
	token    bool      // it is no login, but about a token
	claims   *claims   // that are wanted; nil: none are
	work     work
}

// RequestAttributes are the attributes of a request as its protocol has them.
type RequestAttributes interface {
	// AppendValues appends the values that the request has of an attribute, which policy.Wire.Asked resolved, as text. They are valid until
	// the next call. It may be called on whichever goroutine decides, and must not allocate for the types that are common.
	AppendValues(dst [][]byte, attribute any) [][]byte
}

// Decision is the engine's answer.
type Decision struct {
	ID      uint64 // what `trine explain` takes; carried to the device in Class
	Verdict event.Verdict
	Reason  trace.Reason
	User    []byte // the name of the user it was resolved to; empty if none
	UserID  uint64
	// Replies are reply templates, made by policy.Wire.Reply, in the order of their precedence. Only for Accept.
	Replies []any
	// Released are the attributes to release to the client. Only for Accept.
	Released []attribute.Released
	// UID is the user name that the service provider is told; empty: the one that logged in. Only for Accept.
	UID []byte
	// Privilege is the privilege level that the person's roles give, where the client speaks TACACS+; else -1. Only for Accept.
	Privilege int8
	// Args are the arguments of the answer to an authorization: those that it adds to the device's, or with Replace all that are in force instead of
	// them (RFC 8907 section 6.2: PASS_ADD, PASS_REPL). Only for Accept.
	Args    [][]byte
	Replace bool
	// State is what the device has to send with its answer. Only for Challenge.
	State []byte
	// Message is what the person should read: of a Challenge what to answer, of a Reject what a new password lacks; empty: nothing.
	Message string
	// MustChangePassword asks the protocol to start a password change where it can (MS-CHAP E=648).
	MustChangePassword bool
	// Retry says that the device may ask for the password again within the same login (MS-CHAP R=1).
	Retry bool
}

// Delivery takes decisions that could not be made at once. Decided may run on any goroutine and must not block: a loop puts
// the request into its mailbox.
type Delivery interface {
	Decided(r *Request)
}

// Accounting is one accounting record to store. Its slices are the protocol's until Done is called.
type Accounting struct {
	Record  event.AccountedView // everything but Client, User, Key and StaleAfter, which the engine fills in
	Client  *policy.Client
	Cache   *policy.Cache
	HasTime bool // the packet has an Event-Timestamp
	// LoginUser is Decision.User of the login that led to the record, where the device brings it back. Where the service provider is told
	// another user name, the record's own says nothing about who it is.
	LoginUser []byte
	Arrived   time.Time
	Done      AccountingDelivery
	Token     uint64

	// Err is the outcome: nil once a quorum has the record on disk (also when it is a repeat, with Duplicate set); then and
	// only then may the device be answered.
	Err       error
	Duplicate bool

	user []byte // his name
	text []byte
}

// AccountingDelivery takes outcomes of accounting records, on any goroutine; it must not block.
type AccountingDelivery interface {
	Accounted(a *Accounting)
}

// Reset makes r ready for the next login. Buffers are kept.
func (r *Request) Reset() {
	r.Protocol, r.Remark = "", ""
	r.Cache, r.Client, r.Name, r.NAS, r.Calling, r.Called, r.Done = nil, nil, nil, nil, nil, nil, nil
	r.Source, r.Arrived, r.Deadline = netip.AddrPort{}, time.Time{}, time.Time{}
	r.Proof = credential.Proof{}
	r.NASPort, r.Token, r.Attributes = 0, 0, nil
	r.Port, r.Enable, r.Changes = nil, -1, false
	r.State, r.Continues, r.Appends = nil, false, false
	r.Decision.reset()
}

func (r *Request) reject(reason trace.Reason) { r.Decision.deny(event.Reject, reason) }

// discard leaves the request without an answer, so that the device tries another node.
func (r *Request) discard(reason trace.Reason) { r.Decision.deny(event.Discard, reason) }

func (d *Decision) reset() {
	d.ID, d.UserID, d.User = 0, 0, nil
	d.deny(0, "")
}

// deny replaces what was decided. Nothing stays that only an accept carries.
func (d *Decision) deny(verdict event.Verdict, reason trace.Reason) {
	clear(d.Replies)
	clear(d.Released)
	d.Replies, d.Released = d.Replies[:0], d.Released[:0]
	d.UID, d.State, d.Message = nil, d.State[:0], ""
	d.MustChangePassword, d.Retry = false, false
	clear(d.Args)
	d.Privilege, d.Args, d.Replace = -1, d.Args[:0], false
	d.Verdict, d.Reason = verdict, reason
}
