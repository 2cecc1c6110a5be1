package credential

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"trine/engine/credential/chap"
	"trine/engine/secret"
	"trine/engine/trace"
)

// Stored is what is kept of one user's password. The verifier keeps none of its slices after Verify has returned.
type Stored struct {
	ID      uint64 // the user's id, never 0
	Name    []byte // the user's name, to which the forms are bound
	Version uint64 // goes up whenever the password changes

	Argon2id []byte // each empty if it is not kept
	Keyed    []byte
	NT       []byte // sealed
	Clear    []byte // sealed
	Imported []byte // sealed; only until a good login makes the forms that are kept
}

func (s *Stored) empty() bool {
	return len(s.Argon2id) == 0 && len(s.Keyed) == 0 && len(s.NT) == 0 && len(s.Clear) == 0 && len(s.Imported) == 0
}

// Attempt is one attempt to prove a password. Of it and what it refers to, only Done is kept after Verify has returned.
type Attempt struct {
	Proof    *Proof
	User     *Stored   // nil if no user has the name
	Name     []byte    // the name that was looked up, realm and domain taken off: limits of unknown users go by it, folded
	Source   []byte    // whose failures are limited together, such as client and calling station; empty: no such limit
	Deadline time.Time // past it nobody waits any more; zero: none
	Done     Done      // learns the outcome of a pending attempt
}

// Status says how far an attempt came.
type Status uint8

// The statuses.
const (
	Wrong   Status = iota // not proved; Outcome.Reason says why
	Matched               // proved
	Pending               // the outcome will come through Done
)

// Outcome is the outcome of an attempt.
type Outcome struct {
	Status  Status
	Reason  trace.Reason // OK if matched, empty while pending
	Form    Form         // the form that decided, or that is missing or unreadable
	Joined  bool         // an equal attempt was under way, and this one waits with it
	Decoy   bool         // there was no such password; the work was done for its time alone
	Assumed bool         // the password was not looked at; see Verifier.Assuming
	Err     error        // more about a reason of the classes overload and system, for people; it holds no secret
}

// Record adds the outcome to a trace. User is the user's name, or the name that was looked up; keeper names who decides which forms are
// kept, such as "user type staff".
func (o Outcome) Record(t *trace.Trace, user []byte, keeper string) {
	detail := ""
	if o.Err != nil {
		detail = o.Err.Error()
	}
	switch {
	case o.Status == Pending && o.Joined:
		t.AddName(trace.JoinedWork, user, "")
	case o.Status == Pending:
		t.Add(trace.SentToWorker, o.Form.String(), "")
	case o.Assumed && o.Status == Matched:
		t.Add(trace.PasswordAssumed, "right", o.Form.String())
	case o.Assumed:
		t.Add(trace.PasswordAssumed, "wrong", o.Form.String())
	case o.Status == Matched && o.Form == FormCache:
		t.AddName(trace.PasswordFromCache, user, "")
	case o.Status == Matched:
		t.Add(trace.PasswordChecked, o.Form.String(), "")
	case o.Reason == trace.OverloadThrottled:
		t.AddName(trace.Throttled, user, detail)
	case o.Reason == trace.OverloadQueueFull, o.Reason == trace.OverloadDeadline, o.Reason == trace.WorkerFailed:
		t.Add(trace.WorkerRefused, detail, "")
	case o.Reason == trace.PasswordUnreadable:
		t.Add(trace.FormUnreadable, o.Form.String(), detail)
	case o.Reason == trace.RadiusCHAPSecretNotKept, o.Reason == trace.RadiusMSCHAPHashNotKept:
		t.Add(trace.FormNotKept, o.Form.String(), keeper)
	case o.Reason == trace.PasswordImported:
		t.Add(trace.FormToCome, o.Form.String(), "")
	case o.Reason == trace.ProofMissing:
		t.Add(trace.MethodUnknown, detail, "")
	case o.Reason == trace.ProofMalformed:
		t.Add(trace.ProofIsBad, detail, "")
	case o.Reason == trace.PasswordMissing:
		t.AddName(trace.PasswordAbsent, user, "")
	case o.Decoy:
		t.Add(trace.DecoyChecked, o.Form.String(), "")
	default:
		t.Add(trace.PasswordDiffers, o.Form.String(), "")
	}
}

// Done learns the outcome of a pending attempt: exactly once, on any goroutine. Verified must not block.
type Done interface {
	Verified(o Outcome)
}

// Config says what a verifier needs.
type Config struct {
	Keyring   *secret.Keyring
	Hasher    Hasher
	CacheSize int              // verified passwords to remember, 32 bytes each; 0: 262,144; negative: none
	Limits    Limits           // the zero Limits: DefaultLimits
	Clock     func() time.Time // nil: time.Now
	Decoy     Keep             // which forms an unknown user seems to have; the zero Keep: DefaultKeep
	Params    Params           // the cost of an unknown user's Argon2id form; the zero Params: DefaultParams
}

// defaultCacheSize remembers the passwords of 100,000 people with room to spare, in 8 MiB.
const defaultCacheSize = 1 << 18

// Verifier verifies passwords. It is safe for concurrent use. What is fast is done in Verify; what is slow by nature goes to the
// hasher, with limits in front of it, and equal attempts share one job.
type Verifier struct {
	keyring *secret.Keyring
	hasher  Hasher
	clock   func() time.Time
	boot    [32]byte // the key of the cache's tags: never leaves this process
	cache   *cache   // nil if switched off
	decoy   *atomic.Pointer[decoy]
	slow    *slowPath // nil where passwords are assumed
	scratch sync.Pool // of *scratch

	original *Verifier // that this one was set aside from; nil for the one that counts
	assumed  assumption
}

// decoy is what an unknown user's proof is verified against. Nothing fits it.
type decoy struct {
	keyring *secret.Keyring
	stored  Stored
}

// scratch is what one verification needs on the heap, because it passes through an interface of the crypto packages.
type scratch struct {
	context [maxContext]byte
	open    [max(MaxPassword, MaxForm)]byte
	nt      [16]byte
}

func newScratch() any { return new(scratch) }

// New returns a verifier. It fails only if the decoy's cost is out of bounds.
func New(c Config) (*Verifier, error) {
	v := &Verifier{keyring: c.Keyring, hasher: c.Hasher, clock: c.Clock, decoy: new(atomic.Pointer[decoy]), slow: new(slowPath)}
	if v.clock == nil {
		v.clock = time.Now
	}
	rand.Read(v.boot[:])
	if c.CacheSize == 0 {
		c.CacheSize = defaultCacheSize
	}
	if c.CacheSize > 0 {
		v.cache = newCache(c.CacheSize)
	}
	if c.Limits == (Limits{}) {
		c.Limits = DefaultLimits()
	}
	v.slow.init(v, c.Limits)
	v.scratch.New = newScratch
	if c.Decoy == (Keep{}) {
		c.Decoy = DefaultKeep()
	}
	if c.Params == (Params{}) {
		c.Params = DefaultParams()
	}
	if err := v.SetDecoy(c.Decoy, c.Params); err != nil {
		return nil, fmt.Errorf("make decoy: %w", err)
	}
	return v, nil
}

// SetDecoy says which forms, at which cost, an unknown user seems to have: those of the user type that most people have. It may
// be called at any time.
func (v *Verifier) SetDecoy(keep Keep, params Params) error {
	if err := params.Validate(); err != nil {
		return err
	}
	d := &decoy{keyring: secret.NewKeyring(), stored: Stored{Name: []byte("decoy")}}
	if err := d.keyring.Add(1, secret.NewClusterKey()); err != nil {
		return err
	}
	var context [maxContext]byte
	var random [32]byte
	rand.Read(random[:])
	var err error
	if keep.Keyed {
		if d.stored.Keyed, err = d.keyring.MAC(nil, appendContext(context[:0], d.stored.Name, FormKeyed), random[:]); err != nil {
			return err
		}
	}
	if keep.NT {
		if d.stored.NT, err = d.keyring.Seal(nil, random[:16], appendContext(context[:0], d.stored.Name, FormNT)); err != nil {
			return err
		}
	}
	if keep.Clear {
		if d.stored.Clear, err = d.keyring.Seal(nil, fmt.Appendf(nil, "%x", random[:6]), appendContext(context[:0], d.stored.Name, FormClear)); err != nil {
			return err
		}
	}
	if keep.Argon2id {
		d.stored.Argon2id = Argon2id{Params: params, Salt: random[:newSalt], Hash: random[:newHash]}.Append(nil)
	}
	v.decoy.Store(d)
	return nil
}

// Verify verifies an attempt. An unknown user costs what one of the decoy's user type costs. With Pending, a.Done learns the outcome later;
// only clear text against Argon2id or an imported hash alone is ever pending. A good MS-CHAP fills in the results of a.Proof; MSCHAPCPW also
// puts the new password into a.Proof.NewPassword, newly allocated.
func (v *Verifier) Verify(a *Attempt) Outcome {
	t := target{keyring: v.keyring, stored: a.User}
	switch {
	case a.User == nil:
		t.lack = trace.UserUnknown
	case a.User.empty():
		t.lack = trace.PasswordMissing
	}
	if t.lack != "" {
		d := v.decoy.Load()
		t.keyring, t.stored = d.keyring, &d.stored
	}
	s := v.scratch.Get().(*scratch)
	var o Outcome
	switch a.Proof.Method {
	case PAP, ASCII, Page:
		o = v.pap(a, &t, s)
	case CHAP:
		o = v.chap(a, &t, s)
	case MSCHAPv1, MSCHAPv2, MSCHAPCPW:
		o = v.mschap(a, &t, s)
	default:
		o = wrong(trace.ProofMissing, NoForm, errMethod)
	}
	clear(s.open[:])
	clear(s.nt[:])
	v.scratch.Put(s)
	return t.outcome(o)
}

// target is what a proof is verified against.
type target struct {
	keyring *secret.Keyring
	stored  *Stored
	lack    trace.Reason // why it is the decoy; empty if it is not
}

// outcome returns what may be said of o: of the decoy nothing ever matches, and what is said is why it was taken.
func (t *target) outcome(o Outcome) Outcome {
	if t.lack == "" || o.Status == Pending {
		return o
	}
	if class := o.Reason.Class(); class == trace.ClassOverload || class == trace.ClassSystem || class == trace.ClassClient {
		o.Decoy = true
		return o
	}
	return Outcome{Status: Wrong, Reason: t.lack, Form: o.Form, Decoy: true}
}

var (
	errMethod    = errors.New("no method of proving a password that is known")
	errChallenge = errors.New("the challenge has the wrong length")
	errResponse  = errors.New("the response has the wrong length")
	errChange    = errors.New("the new password's fields have the wrong length")
)

func wrong(reason trace.Reason, form Form, err error) Outcome {
	return Outcome{Status: Wrong, Reason: reason, Form: form, Err: err}
}

func matched(ok bool, form Form) Outcome {
	if ok {
		return Outcome{Status: Matched, Reason: trace.OK, Form: form}
	}
	return Outcome{Status: Wrong, Reason: trace.PasswordWrong, Form: form}
}

// pap goes from what is cheap to what is dear. Each form is conclusive, since all were made of one password; only where there is
// none but Argon2id or an imported hash, what was verified before is looked up.
func (v *Verifier) pap(a *Attempt, t *target, s *scratch) Outcome {
	password := a.Proof.Password
	if len(password) == 0 || len(password) > MaxPassword {
		return wrong(trace.PasswordWrong, NoForm, nil)
	}
	unreadable := Outcome{}
	if len(t.stored.Clear) > 0 {
		clearText, err := t.open(s, FormClear)
		if err == nil {
			return v.matched(equal(clearText, password), FormClear)
		}
		unreadable = wrong(trace.PasswordUnreadable, FormClear, err)
	}
	if len(t.stored.Keyed) > 0 {
		ok, err := t.keyring.CheckMAC(t.stored.Keyed, appendContext(s.context[:0], t.stored.Name, FormKeyed), password)
		if err == nil {
			return v.matched(ok, FormKeyed)
		}
		unreadable = wrong(trace.PasswordUnreadable, FormKeyed, err)
	}
	// Bytes that are not UTF-8 have no NT hash of their own; such a password is never kept as one.
	if len(t.stored.NT) > 0 {
		hash, err := t.open(s, FormNT)
		if err == nil {
			got, ok := chap.NTHash(password)
			return v.matched(ok && subtle.ConstantTimeCompare(got[:], hash) == 1, FormNT)
		}
		unreadable = wrong(trace.PasswordUnreadable, FormNT, err)
	}
	form, kept := FormArgon2id, t.stored.Argon2id
	if len(kept) == 0 {
		if len(t.stored.Imported) == 0 {
			return unreadable
		}
		var err error
		if kept, err = t.open(s, FormImported); err != nil {
			return wrong(trace.PasswordUnreadable, FormImported, err)
		}
		form = FormImported
	}
	if v.assumed != nothingAssumed {
		return v.matched(false, form)
	}
	tag := v.tag(a)
	if v.cached(a.User.cacheID(), &tag) && t.lack == "" {
		return matched(true, FormCache)
	}
	return v.slow.verify(a, t, form, kept, tag)
}

// cached reports whether the cache has the user's password with this tag. Who only looks changes nothing in it.
func (v *Verifier) cached(user uint64, t *tag) bool {
	switch {
	case v.cache == nil:
		return false
	case v.original != nil:
		return v.cache.holds(user, t)
	}
	return v.cache.has(user, t)
}

// chap needs the clear password (RFC 1994 section 4.1).
func (v *Verifier) chap(a *Attempt, t *target, s *scratch) Outcome {
	p := a.Proof
	if len(p.Response) != 16 {
		return wrong(trace.ProofMalformed, NoForm, errResponse)
	}
	if len(p.Challenge) == 0 || len(p.Challenge) > 255 {
		return wrong(trace.ProofMalformed, NoForm, errChallenge)
	}
	if len(t.stored.Clear) == 0 {
		return wrong(trace.RadiusCHAPSecretNotKept, FormClear, nil)
	}
	password, err := t.open(s, FormClear)
	if err != nil {
		return wrong(trace.PasswordUnreadable, FormClear, err)
	}
	return v.matched(chap.Verify(p.Identifier, password, p.Challenge, p.Response), FormClear)
}

// open opens a sealed form into the scratch. The result must not be kept.
func (t *target) open(s *scratch, form Form) ([]byte, error) {
	sealed := t.stored.Clear
	switch form {
	case FormNT:
		sealed = t.stored.NT
	case FormImported:
		sealed = t.stored.Imported
	}
	return t.keyring.Open(s.open[:0], sealed, appendContext(s.context[:0], t.stored.Name, form))
}

// cacheID returns the id under which the cache knows a user; no user has 0.
func (s *Stored) cacheID() uint64 {
	if s == nil {
		return 0
	}
	return s.ID
}

// tag binds a password to a user and to the version of his credential, or to a name that nobody has.
func (v *Verifier) tag(a *Attempt) (out tag) {
	var room [16 + 256]byte
	context := room[:16]
	if a.User != nil {
		binary.BigEndian.PutUint64(context, a.User.ID)
		binary.BigEndian.PutUint64(context[8:], a.User.Version)
	} else {
		context = append(context, a.Name...)
	}
	sum := secret.HMAC(&v.boot, context, a.Proof.Password)
	copy(out[:], sum[:])
	return out
}

// equal compares in a time that depends on neither text, lengths included, up to MaxPassword.
func equal(a, b []byte) bool {
	var x, y [MaxPassword]byte
	copy(x[:], a)
	copy(y[:], b)
	differ := uint64(len(a) ^ len(b))
	for i := 0; i < MaxPassword; i += 8 {
		differ |= binary.LittleEndian.Uint64(x[i:]) ^ binary.LittleEndian.Uint64(y[i:])
	}
	clear(x[:])
	clear(y[:])
	return differ == 0
}
