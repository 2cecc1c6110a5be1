package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"trine/engine/event"
	"trine/engine/state/rows"
)

// State is the views of one node. Apply, ApplyFact, Freeze, Load, Digest and OnConfig are called by one goroutine at a time; all
// other methods from any goroutine at any time, Apply's included.
type State struct {
	store *rows.Store
	turn  sync.Mutex // held by Apply, ApplyFact, Check and Load, which share work

	docs         *rows.Table // "Kind/name" -> document
	users        *rows.Table // folded name -> user
	claims       *rows.Table // claim -> owner
	refs         *rows.Table // "Kind/name" -> number of references
	graves       *rows.Table // "Kind/name" of a deleted document -> its last version
	symbolRows   *rows.Table // symbol number -> text
	sessions     *rows.Table // session id -> live session
	ended        *rows.Table // session id -> tombstone
	devices      *rows.Table // hash of client and NAS -> keys of its last Accounting-On and -Off
	reservations *rows.Table // decision id -> reservation
	consumed     *rows.Table // one-shot key -> not after
	stages       *rows.Table // stage id [and piece] -> what is staged
	apiKeys      *rows.Table // id -> API key
	clusterKeys  *rows.Table // id -> cluster key
	meta         *rows.Table // counters
	accounts     *rows.Table // "ACCOUNT@SYSTEM" -> account
	endpoints    *rows.Table // MAC address -> endpoint
	failures     *rows.Table // factor and login name -> failed logins
	factors      *rows.Table // user id -> factors beside the password
	lastLogins   *rows.Table // user id -> what adaptive rules ask of the login before
	pushes       *rows.Table // decision id -> what a device said to the challenge of that login
	cluster      *rows.Table // node number -> node; and the cluster's authority
	tokens       *rows.Table // id -> token by which a node may join
	sso          *rows.Table // number -> session of single sign-on
	ssoIDs       *rows.Table // hash of the id that a browser has -> number of the session
	trusted      *rows.Table // user id -> trusted devices
	grants       *rows.Table // number -> grant
	revoked      *rows.Table // id -> access token that was revoked by itself
	voided       *rows.Table // "c/client" or "u/user" -> when everything of it was made void
	consents     *rows.Table // user id and client -> consent
	signing      *rows.Table // identity provider -> signing keys

	symbols     Symbols
	ids         ids
	byField     [sessionFields]rows.Index // of sessions
	prefixes    [129]atomic.Int32         // how many sessions have an IPv6 prefix of each length
	reservedBy  rows.Index                // of reservations, by user
	accountsOf  rows.Index                // of accounts, by owner
	accountsIn  rows.Index                // of accounts, by owner and system
	endpointsOf rows.Index                // of endpoints, by owner
	ssoOf       rows.Index                // of sessions of single sign-on, by user
	grantsOf    rows.Index                // of grants, by user
	crowds      map[uint64]*crowd         // of people with many grants, by their hash in grantsOf
	consentsOf  rows.Index                // of consents, by user
	endings     endings
	leasts      leasts // of failures
	maxFailures int    // rows of failures
	ordersLock  sync.RWMutex
	orders      map[string]*order // by kind
	configIndex atomic.Uint64
	onConfig    func(index uint64, changed []Key)
	onSSOEnded  func(at Stamp, ended []SSO)

	signingChanges atomic.Uint64

	nextUser     uint64
	decisions    atomic.Uint64
	missing      atomic.Uint64
	appliedIndex atomic.Uint64
	appliedTime  atomic.Int64 // unix nanoseconds

	work work
}

// work is what Apply needs while it runs, kept to be used again.
type work struct {
	expect    []event.ExpectationView
	events    []event.Envelope
	accounted event.AccountedView
	decodedAt int // the event that accounted is of, -1: none
	keys      []uint64
	plan      plan
	session   Session
	row       []byte
	key       []byte
	user      []byte
	refSyms   []byte // a document's references
	groupSyms []byte // a user's groups
	refs      []rows.Ref
	changed   []Key
	ended     []SSO // where somebody is told of them
}

// Table ids, which are in every persisted row's key: for ever.
const (
	tableDocs         = 1
	tableUsers        = 2
	tableClaims       = 3
	tableRefs         = 4
	tableGraves       = 5
	tableSymbols      = 6
	tableSessions     = 7
	tableEnded        = 8
	tableDevices      = 9
	tableReservations = 10
	tableConsumed     = 11
	tableStages       = 12
	tableAPIKeys      = 13
	tableClusterKeys  = 14
	tableMeta         = 15
	tableAccounts     = 16
	tableEndpoints    = 17
	tableFailures     = 18
	tableFactors      = 19
	tableLastLogins   = 20
	tablePushes       = 21
	tableCluster      = 22
	tableTokens       = 23
	tableSSO          = 24
	tableSSOIDs       = 25
	tableTrusted      = 26
	tableGrants       = 27
	tableRevoked      = 28
	tableVoided       = 29
	tableConsents     = 30
	tableSigning      = 31
)

// New returns an empty State.
func New() *State {
	store := rows.NewStore()
	return &State{
		store:        store,
		docs:         store.Table(tableDocs, 4),
		users:        store.Table(tableUsers, 8),
		claims:       store.Table(tableClaims, 8),
		refs:         store.Table(tableRefs, 4),
		graves:       store.Table(tableGraves, 4),
		symbolRows:   store.Table(tableSymbols, 2),
		sessions:     store.Table(tableSessions, 8),
		ended:        store.Table(tableEnded, 8),
		devices:      store.Table(tableDevices, 4),
		reservations: store.Table(tableReservations, 4),
		consumed:     store.Table(tableConsumed, 4),
		stages:       store.Table(tableStages, 8), // large rows: few to a shard, so that none is copied often
		apiKeys:      store.Table(tableAPIKeys, 0),
		clusterKeys:  store.Table(tableClusterKeys, 0),
		meta:         store.Table(tableMeta, 0),
		accounts:     store.Table(tableAccounts, 8),
		endpoints:    store.Table(tableEndpoints, 6),
		failures:     store.Table(tableFailures, 4),
		maxFailures:  maxFailures,
		factors:      store.Table(tableFactors, 4),
		lastLogins:   store.Table(tableLastLogins, 4),
		pushes:       store.Table(tablePushes, 4),
		cluster:      store.Table(tableCluster, 0),
		tokens:       store.Table(tableTokens, 0),
		sso:          store.Table(tableSSO, 6),
		ssoIDs:       store.Table(tableSSOIDs, 6),
		trusted:      store.Table(tableTrusted, 4),
		grants:       store.Table(tableGrants, 8),
		revoked:      store.Table(tableRevoked, 4),
		voided:       store.Table(tableVoided, 2),
		consents:     store.Table(tableConsents, 6),
		signing:      store.Table(tableSigning, 4),
		orders:       make(map[string]*order),
	}
}

// Stamp is where and when a proposal or fact stands in the log.
type Stamp struct {
	Index uint64    // log index
	Time  time.Time // record time: never before that of an earlier record
	Node  uint64    // the proposing node's number
}

// unix returns the record time in whole seconds.
func (at Stamp) unix() int64 { return at.Time.Unix() }

// Result is what became of a proposal. Code 0 means that it took effect, any other of event's codes that it changed nothing; Detail
// then says why in words. Value is the new version of the last document or password that the proposal changed, else 0.
type Result struct {
	Code   uint32
	Value  uint64
	Detail string
}

// Key names a document.
type Key struct{ Kind, Name string }

// String returns "Kind/name".
func (k Key) String() string { return k.Kind + "/" + k.Name }

// Apply folds one proposal: it checks all expectations, then what the events themselves demand (claims, references, what must
// exist), and then applies either all events or none. Bytes that it cannot read end the process.
func (s *State) Apply(at Stamp, proposal []byte) Result {
	s.turn.Lock()
	defer s.turn.Unlock()
	if r := s.examine(at, proposal); r.Code != 0 {
		return r
	}
	var value uint64
	for i := range s.work.events {
		if v := s.fold(at, i); v != 0 {
			value = v
		}
	}
	s.finish(at)
	return Result{Value: value}
}

// Check returns what Apply would return for a proposal, without its Value, and changes nothing. It waits for an Apply that runs, and
// one that comes waits for it.
func (s *State) Check(at Stamp, proposal []byte) Result {
	s.turn.Lock()
	defer s.turn.Unlock()
	return s.examine(at, proposal)
}

// examine reads a proposal into the work, and reports whether it can take effect.
func (s *State) examine(at Stamp, proposal []byte) Result {
	s.work.reset()
	for rest := proposal; len(rest) > 0; {
		part, data, next, err := event.NextPart(rest)
		if err != nil {
			unreadable("proposal", at, err)
		}
		rest = next
		if r := s.collect(at, part, data, false); r.Code != 0 {
			return r
		}
	}
	return s.check(at)
}

// collect adds a part to the work. The parts of a stage that is committed stand before the event that commits it.
func (s *State) collect(at Stamp, part event.Part, data []byte, staged bool) Result {
	w := &s.work
	if part == event.PartExpectation {
		x, err := event.ParseExpectation(data)
		if err != nil {
			unreadable("expectation", at, err)
		}
		w.expect = append(w.expect, x)
		return Result{}
	}
	e, err := event.ParseEvent(data)
	if err != nil {
		unreadable("event", at, err)
	}
	switch e.Type {
	case event.TypeStaged, event.TypeStageAbandoned:
		if staged {
			return Result{Code: event.CodeStage, Detail: "a staged proposal cannot stage or abandon another"}
		}
	case event.TypeStageCommitted:
		if staged {
			return Result{Code: event.CodeStage, Detail: "a staged proposal cannot commit another"}
		}
		if r := s.collectStage(at, &e); r.Code != 0 {
			return r
		}
	}
	w.events = append(w.events, e)
	return Result{}
}

// Facts calls yield for each event of a proposal with its class, its stream keys and itself encoded. What yield gets is valid
// until it returns. Facts depends on the proposal alone; bytes that it cannot read end the process.
func Facts(proposal []byte, yield func(class uint8, streams []uint64, data []byte)) {
	streams := make([]uint64, 0, 16)
	for rest := proposal; len(rest) > 0; {
		part, data, next, err := event.NextPart(rest)
		if err != nil {
			unreadable("proposal", Stamp{}, err)
		}
		rest = next
		if part != event.PartEvent {
			continue
		}
		e, err := event.ParseEvent(data)
		if err != nil {
			unreadable("event", Stamp{}, err)
		}
		streams = e.AppendStreams(streams[:0])
		yield(uint8(e.Class), streams, data)
	}
}

// CountFacts returns how many times Facts calls yield.
func CountFacts(proposal []byte) (n int) {
	for len(proposal) > 0 {
		part, _, rest, err := event.NextPart(proposal)
		if err != nil {
			unreadable("proposal", Stamp{}, err)
		}
		if proposal = rest; part == event.PartEvent {
			n++
		}
	}
	return n
}

// Streams appends to dst the stream keys of an encoded event.
func Streams(dst []uint64, data []byte) []uint64 {
	e, err := event.ParseEvent(data)
	if err != nil {
		unreadable("event", Stamp{}, err)
	}
	return e.AppendStreams(dst)
}

// ApplyFact folds one event that took effect, as history gives it back. Folding all facts of a log in order gives the same rows
// as Apply gave.
func (s *State) ApplyFact(at Stamp, data []byte) {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.work.reset()
	if r := s.collect(at, event.PartEvent, data, false); r.Code != 0 {
		violated("a fact that took effect", "one that cannot: %s", r.Detail)
	}
	for i := range s.work.events {
		s.fold(at, i)
	}
	s.finish(at)
}

// fold applies one event that was checked. It returns what Result.Value says.
func (s *State) fold(at Stamp, i int) uint64 {
	e := &s.work.events[i]
	switch e.Type {
	case event.TypeDecided:
		s.decisions.Add(1)
	case event.TypeAccounted:
		s.foldAccounted(at, i)
	case event.TypeDocumentPut:
		return s.foldDocumentPut(at, e.Body)
	case event.TypeDocumentDeleted:
		s.foldDocumentDeleted(at, e.Body)
	case event.TypeStageCommitted:
		s.dropStage(read[*event.StageCommitted](e, at).Stage)
	case event.TypeNodeStarted:
	case event.TypeLoginFailed:
		s.foldLoginFailed(at, read[*event.LoginFailed](e, at))
	default:
		return s.foldRare(at, e)
	}
	return 0
}

// foldRare applies the events that are decoded through their generated messages.
func (s *State) foldRare(at Stamp, e *event.Envelope) uint64 {
	m, err := e.Message()
	if err != nil {
		unreadable("event", at, err)
	}
	switch m := m.(type) {
	case *event.PasswordSet:
		return s.foldPassword(at, m.User, m)
	case *event.PasswordRemoved:
		return s.foldPassword(at, m.User, nil)
	case *event.SessionReserved:
		s.foldReserved(m)
	case *event.SessionsExpired:
		s.foldExpired(at, m)
	case *event.SessionClosed:
		s.endSession(at, m.Session, endedByWord, at.unix(), 0)
	case *event.TombstonesSwept:
		s.foldSwept(at, m.BeforeUnix)
	case *event.Consumed:
		s.foldConsumed(m)
	case *event.DecisionsMissing:
		s.missing.Add(m.Count)
	case *event.FailuresCleared:
		s.foldFailuresCleared(at, m)
	case *event.FactorPut:
		s.foldFactorPut(at, m)
	case *event.FactorRemoved:
		s.foldFactorRemoved(m)
	case *event.FactorUsed:
		s.foldFactorUsed(at, m)
	case *event.LoginRemembered:
		s.foldLoginRemembered(at, m)
	case *event.PushAnswered:
		s.foldPushAnswered(at, m)
	case *event.SsoStarted:
		s.foldSSOStarted(at, m)
	case *event.SsoUsed:
		s.foldSSOUsed(at, m)
	case *event.SsoEnded:
		s.foldSSOEnded(at, m)
	case *event.GrantStarted:
		s.foldGrantStarted(at, m)
	case *event.GrantRefreshed:
		s.foldGrantRefreshed(at, m)
	case *event.GrantsEnded:
		for _, number := range m.Grants {
			if g, known := s.Grant(number); known {
				s.endGrant(at, &g, event.GrantEnd(m.Cause), m.By)
			}
		}
	case *event.TokenRevoked:
		s.foldTokenRevoked(at, m)
	case *event.TokensVoided:
		s.void(at, m.Client, m.User, m.By)
	case *event.ConsentGiven:
		s.foldConsentGiven(at, m)
	case *event.ConsentRevoked:
		s.foldConsentRevoked(at, m)
	case *event.SigningKeysMade:
		s.foldSigningKeysMade(at, m)
	case *event.GrantsSwept:
		s.foldGrantsSwept(at, m)
	case *event.DeviceTrusted:
		s.foldDeviceTrusted(at, m)
	case *event.DeviceDistrusted:
		s.foldDeviceDistrusted(m)
	case *event.ClusterKeyAdded:
		s.foldClusterKey(m)
	case *event.ClusterFounded:
		s.foldFounded(at, m)
	case *event.JoinTokenMade:
		s.foldTokenMade(m)
	case *event.JoinTokenRevoked:
		s.tokens.Delete([]byte(m.Id))
	case *event.NodeJoined:
		s.foldJoined(at, m)
	case *event.NodeChanged:
		s.foldNodeChanged(m)
	case *event.NodeRemoved:
		s.foldNodeRemoved(at, m)
	case *event.ApiKeyCreated:
		s.foldAPIKey(at, m)
	case *event.ApiKeyRevoked:
		s.apiKeys.Delete([]byte(m.Id))
	case *event.Staged:
		s.foldStaged(at, m.Stage, m.Piece, e.Body)
	case *event.StageAbandoned:
		s.dropStage(m.Stage)
	default:
		violated("an event type with a fold", "%s", e.Type)
	}
	return 0
}

// finish makes what was applied known.
func (s *State) finish(at Stamp) {
	if len(s.work.changed) > 0 {
		s.putMeta(metaConfig, at.Index)
		s.configIndex.Store(at.Index)
	}
	s.appliedIndex.Store(at.Index)
	s.appliedTime.Store(at.Time.UnixNano())
	if len(s.work.changed) > 0 && s.onConfig != nil {
		s.onConfig(at.Index, append([]Key(nil), s.work.changed...))
	}
	if len(s.work.ended) > 0 {
		s.onSSOEnded(at, slices.Clone(s.work.ended))
	}
}

// ConfigIndex returns the log index of the last change of a document that logins are decided by: of any kind but User, Account
// and Endpoint, which are looked up row by row.
func (s *State) ConfigIndex() uint64 { return s.configIndex.Load() }

// Time returns the record time of the last proposal applied since the State was made.
func (s *State) Time() time.Time { return time.Unix(0, s.appliedTime.Load()) }

// OnConfig sets the function that Apply calls when documents have changed that ConfigIndex is about, with the log index and their
// keys, once a proposal. It must not block. It is set before the first Apply.
// AppliedIndex returns the log index of the last proposal that was applied since the start.
func (s *State) AppliedIndex() uint64 { return s.appliedIndex.Load() }

// Consumed reports whether a one-shot key was used up, as far as it is remembered.
func (s *State) Consumed(key string) bool { return s.consumed.Has([]byte(key)) }

// OnConfig sets the function that Apply calls when documents other than users have changed, with the log index and their keys,
// once a proposal. It must not block. It is set before the first Apply.
func (s *State) OnConfig(changed func(index uint64, changed []Key)) { s.onConfig = changed }

// OnSSOEnded sets the function that Apply calls when sessions of single sign-on have ended, however they did, once a proposal; at says which node proposed it. It must not
// block. It is set before the first Apply.
func (s *State) OnSSOEnded(ended func(at Stamp, ended []SSO)) { s.onSSOEnded = ended }

// Freeze marks the rows as of the last proposal applied. How long it takes does not grow with the number of rows.
func (s *State) Freeze() *Frozen { return s.store.Freeze() }

// Frozen is the rows of a State as they stood when it was frozen, readable while Apply goes on.
type Frozen = rows.Frozen

// Digest returns a multiset hash of all rows: equal digests mean equal states.
func (s *State) Digest() [16]byte { return s.store.Digest() }

// Load replaces everything by the rows that next returns, until it returns false; key and value need to be valid only until its
// next call. A row that comes again takes the place of the one before, and with a nil value it is gone.
func (s *State) Load(next func() (k, v []byte, ok bool, err error)) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if err := s.store.Load(next); err != nil {
		return err
	}
	s.decisions.Store(0)
	s.missing.Store(0)
	s.nextUser = s.getMeta(metaUser)
	s.signingChanges.Add(1)
	s.configIndex.Store(s.getMeta(metaConfig))
	if err := s.loadSymbols(); err != nil {
		return err
	}
	// Sessions have the most indexes; everything else is found again beside them.
	sessions := make(chan error, 1)
	go func() { sessions <- s.loadSessions() }()
	return errors.Join(s.loadUsers(), s.loadOwned(), s.loadOrders(), s.loadReservations(), s.loadEndings(), s.loadFailures(), s.loadSSO(), s.loadGrants(), <-sessions)
}

// Counts is numbers of rows, and what this node counted since it was started or loaded.
type Counts struct {
	Users        int
	Accounts     int
	Endpoints    int
	Sessions     int // live, stale ones included
	Reservations int
	Tombstones   int // ended sessions that are remembered
	Consumed     int // one-shot keys that are remembered
	Stages       int // rows of staged proposals
	Failures     int // login names whose failures are remembered
	Pushes       int // push challenges whose answers are remembered
	SSO          int // sessions of single sign-on, those included that have ended and are remembered
	Trusted      int // people who have trusted devices
	Grants       int // those included that are over and are remembered
	Revoked      int // access tokens that were revoked by themselves
	Consents     int
	SigningKeys  int    // identity providers that have signing keys
	Decisions    uint64 // decisions applied
	Missing      uint64 // decisions that could not be recorded
	Bytes        int    // memory of all rows and indexes
}

// Counts returns numbers for metrics.
func (s *State) Counts() Counts {
	c := Counts{
		Users: s.users.Len(), Accounts: s.accounts.Len(), Endpoints: s.endpoints.Len(), Sessions: s.sessions.Len(), Reservations: s.reservations.Len(),
		Tombstones: s.ended.Len(), Consumed: s.consumed.Len(), Stages: s.stages.Len(), Failures: s.failures.Len(),
		Pushes: s.pushes.Len(), SSO: s.sso.Len(), Trusted: s.trusted.Len(),
		Grants: s.grants.Len(), Revoked: s.revoked.Len(), Consents: s.consents.Len(), SigningKeys: s.signing.Len(),
		Decisions: s.decisions.Load(), Missing: s.missing.Load(),
		Bytes: s.store.Bytes() + s.reservedBy.Bytes() + s.ids.bytes() + s.endings.bytes() +
			s.accountsOf.Bytes() + s.accountsIn.Bytes() + s.endpointsOf.Bytes() + s.ssoOf.Bytes() + s.grantsOf.Bytes() + s.consentsOf.Bytes() + leastSize*mostLeasts(s.failures.Len()),
	}
	for i := range s.byField {
		c.Bytes += s.byField[i].Bytes()
	}
	return c
}

func (w *work) reset() {
	w.expect, w.events, w.keys, w.changed = w.expect[:0], w.events[:0], w.keys[:0], w.changed[:0]
	w.ended = w.ended[:0]
	w.decodedAt = -1
	w.plan = plan{}
}

// The rows of table meta.
const (
	metaConfig = "config" // index of the last configuration change
	metaUser   = "user"   // highest user id given
	metaSymbol = "symbol" // number of symbols
)

func (s *State) putMeta(name string, v uint64) {
	var key [16]byte
	var value [8]byte
	binary.BigEndian.PutUint64(value[:], v)
	s.meta.Put(append(key[:0], name...), value[:])
}

func (s *State) getMeta(name string) uint64 {
	value, ok := s.meta.Get(nil, []byte(name))
	if !ok || len(value) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(value)
}

// read decodes an event's body, which Apply must be able to read.
func read[M any](e *event.Envelope, at Stamp) M {
	m, err := e.Message()
	if err != nil {
		unreadable("event", at, err)
	}
	return m.(M)
}

// unreadable ends the process: the log holds what this release cannot read, and skipping it would make this node differ.
func unreadable(what string, at Stamp, err error) {
	violated("a readable "+what, "at log index %d: %v", at.Index, err)
}

// violated ends the process: an invariant of this package does not hold.
func violated(expected, format string, args ...any) {
	panic("state: expected " + expected + ", found " + fmt.Sprintf(format, args...))
}
