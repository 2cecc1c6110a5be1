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
	Protocol string         // "radius", ...
	Cache    *policy.Cache  // loaded once for the request
	Client   *policy.Client // who asks
	Source   netip.AddrPort // where the packet came from
	Name     []byte         // the login name as it came
	Proof    credential.Proof
	NAS      []byte // NAS-Identifier, else the packed NAS address, else empty
	Calling  []byte
	Called   []byte
	NASPort  uint32
	Arrived  time.Time // the node's clock
	Deadline time.Time // past it the caller no longer waits; zero: none
	Done     Delivery  // where a decision that took its time goes
	Token    uint64    // the protocol's own mark

	// What the engine answers with. Valid from the decision until Reset.
	Decision Decision

	user  state.User
	trace trace.Trace
	facts attribute.Facts
	work  work
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
	// MustChangePassword asks the protocol to start a password change where it can (MS-CHAP E=648).
	MustChangePassword bool
	// PasswordExpired likewise; Retry says whether the device may ask for the password again.
	Retry bool
}

// Delivery takes decisions that could not be made at once. Decided may run on any goroutine and must not block: a loop puts
// the request into its mailbox.
type Delivery interface {
	Decided(r *Request)
}

// Accounting is one accounting record to store. Its slices are the protocol's until Done is called.
type Accounting struct {
	Record  event.AccountedView // everything but User, Login and Key, which the engine fills in
	Client  *policy.Client
	Cache   *policy.Cache
	HasTime bool // the packet has an Event-Timestamp
	Arrived time.Time
	Done    AccountingDelivery
	Token   uint64

	// Err is the outcome: nil once a quorum has the record on disk (also when it is a repeat, with Duplicate set); then and
	// only then may the device be answered.
	Err       error
	Duplicate bool

	user    state.User
	text    []byte
	streams [6]uint64
}

// AccountingDelivery takes outcomes of accounting records, on any goroutine; it must not block.
type AccountingDelivery interface {
	Accounted(a *Accounting)
}
