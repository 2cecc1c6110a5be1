package admin

import (
	"context"
	"errors"
	"io"
	"iter"
	"log"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"trine/appliance/admin/api"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/message"
	"trine/engine/policy"
	"trine/engine/secret"
	"trine/engine/state"
)

// Config is what the administration needs of its node. All fields but Cluster, Metrics, Logger and Clock must be set.
type Config struct {
	State     State
	Log       Log
	Events    Events
	Policy    Policy
	Keys      Keys // rotates signing keys
	Passwords Passwords
	Messenger message.Messenger
	Simulator Simulator
	Keyring   *secret.Keyring
	// Cluster is the cluster that this node is or can be one of; nil: none.
	Cluster Cluster
	// Status says how the node is.
	Status func() api.Status
	// Ready returns nil if the node can authenticate, else why it cannot.
	Ready func() error
	// Backup writes an archive of everything, encrypted with a passphrase; an error before the first byte says why there is none.
	Backup func(ctx context.Context, passphrase string, w io.Writer) error
	// Metrics answers /metrics; nil: nothing there.
	Metrics http.Handler
	// Attributes tells what an accounting record of a protocol holds ("tacacs"; empty: radius), as it came, as lines of "Name = value" without secrets; false: it
	// cannot. nil: it is shown in hexadecimal.
	Attributes func(protocol string, raw []byte) ([]string, bool)
	// PasswordsAtOnce is how many passwords of one request are turned into their stored forms at a time; 0: one.
	PasswordsAtOnce int
	// Scratch is a directory for uploads while they are worked on; empty: the system's.
	Scratch string
	// MaxRecord is the size limit of one proposal in bytes; larger ones are staged. 0: 256 KiB.
	MaxRecord int
	// Version is the release that runs.
	Version string
	Logger  *slog.Logger     // nil: none
	Clock   func() time.Time // nil: time.Now
}

// State is what is, as the administration reads it. Its methods may be called concurrently.
type State interface {
	// Document returns a stored document.
	Document(kind, name string) (Stored, bool)
	// Documents yields the documents of a kind whose names come after the cursor, in the order of their names; User names are
	// compared folded.
	Documents(kind, after string) iter.Seq[Stored]
	// Count returns the number of documents of a kind.
	Count(kind string) int
	// Holder returns the key of the document that holds a claim.
	Holder(claim string) (key string, ok bool)
	// LastVersion returns the last version that a document had, also if it was deleted since; 0 if there never was one.
	LastVersion(kind, name string) uint64
	// References returns how many documents refer to a document.
	References(kind, name string) int
	// Owned returns the keys of the documents that belong to a user and go with him: his accounts and endpoints.
	Owned(user string) []string
	// Password returns the stored forms of a user's password; false if he has none.
	Password(user string) (StoredPassword, bool)
	// LoginFailures returns what is remembered of the failed logins under a login name.
	LoginFailures(login string) []state.LoginFailures
	// Factors returns a user's factors beside the password; false if there is no such user.
	Factors(user string) ([]state.Factor, bool)
	// PushAnswer returns what was answered to the push challenge of a login, and false if nothing was.
	PushAnswer(challenge uint64) (state.PushAnswer, bool)
	// Sessions returns a page of live sessions in a stable order, and the cursor of the next page; 0 at the end.
	Sessions(q SessionQuery) (page []Session, next uint64)
	// Session reports whether there is a live session with the id.
	Session(id uint64) bool
	// SSOPage, SSOOf and SSONumbered return sessions of single sign-on, see state.State.
	SSOPage(after uint64, limit int, ended bool) []state.SSO
	SSOOf(user string) []state.SSO
	SSONumbered(number uint64) (state.SSO, bool)
	// Grant, GrantsOf and GrantsPage return grants, ConsentsOf and ConsentsPage consents, AllSigningKeys signing keys; see state.State.
	Grant(number uint64) (state.Grant, bool)
	GrantsOf(user string) []state.Grant
	GrantsPage(after uint64, limit int, client string, over bool, now int64) []state.Grant
	ConsentsOf(user uint64) []state.Consent
	ConsentsPage(user uint64, behind string, limit int, client string) []state.Consent
	AllSigningKeys() []state.SigningKeys
	// UserName returns the name of the user of an id; empty if there is none.
	UserName(id uint64) string
	// TrustedDevices returns a user's trusted devices; false if there is no such user.
	TrustedDevices(user string) ([]state.TrustedDevice, bool)
	// APIKey returns a key that is not revoked.
	APIKey(id string) (APIKey, bool)
	// APIKeys returns all keys that are not revoked, in the order of their ids.
	APIKeys() []APIKey
}

// Stored is a document as the state holds it.
type Stored struct {
	ID         uint64 // of a user; 0 for other kinds
	Kind, Name string
	Version    uint64
	Spec       []byte   // as document.Stored made it
	Refs       []string // keys of the documents that it refers to
	CreatedAt  time.Time
	CreatedBy  string
	ModifiedAt time.Time
	ModifiedBy string
}

// StoredPassword is a user's password in the forms that are kept.
type StoredPassword struct {
	User                       string // user name
	Argon2id, Keyed, NT, Clear []byte
	Import                     []byte // the hash of another system
	MustChange                 bool
}

// APIKey is a key as the state holds it.
type APIKey struct {
	ID, Description string
	Hash            []byte // SHA-256 of the secret
	Scopes          []string
	Expires         time.Time // zero: never
	CreatedAt       time.Time
	CreatedBy       string
}

// SessionQuery selects sessions. Zero fields select all.
type SessionQuery struct {
	User, Client, NAS, Calling, AcctSessionID string
	Address                                   string // in its canonical form
	ID                                        uint64
	After                                     uint64 // ids above it
	Limit                                     int
}

// Session is a live network session.
type Session struct {
	ID            uint64
	User, Client  string
	NAS           []byte // NAS-Identifier, else a packed address
	NASPort       uint32
	AcctSessionID []byte
	Calling       []byte
	Called        []byte
	Addresses     []string
	Login         uint64
	Started       time.Time
	LastSeen      time.Time
	Seconds       uint32
	InputOctets   uint64
	OutputOctets  uint64
	StaleAt       time.Time
}

// Log takes proposals.
type Log interface {
	// Propose proposes and waits for the outcome. Its errors wrap ErrNoLeader, ErrUncertain, ErrBusy or ErrDiskFull where one of
	// them is the reason.
	Propose(ctx context.Context, proposal []byte) (Outcome, error)
}

// Outcome is what became of a proposal; see the codes in package event.
type Outcome struct {
	Index  uint64
	Code   uint32
	Value  uint64
	Detail string
}

// Errors of a [Log].
var (
	ErrNoLeader  = errors.New("no node takes changes now: the cluster has no leader")
	ErrUncertain = errors.New("it is not known whether the change took effect")
	ErrBusy      = errors.New("the log's queue is full")
	ErrDiskFull  = errors.New("too little free disk space to take changes")
)

// Events reads the log.
type Events interface {
	// Read yields the events that the query selects.
	Read(ctx context.Context, q EventQuery) iter.Seq2[Item, error]
	// Follow yields them and then waits for more until ctx is done.
	Follow(ctx context.Context, q EventQuery) iter.Seq2[Item, error]
	// Last returns the position after the newest event.
	Last() Position
	// Complete returns the log index from which on this node misses no event; 1 at most where it misses none.
	Complete() uint64
}

// Position is a place in the log.
type Position struct {
	Index  uint64
	Offset uint32
}

// EventQuery selects events. Zero fields select everything.
type EventQuery struct {
	Classes []event.Class
	From    Position  // inclusive; with Reverse the position to begin at, going back
	Since   time.Time // inclusive
	Until   time.Time // exclusive
	Stream  uint64
	Reverse bool
}

// Item is one event of the log. Data is the encoded event, envelope included, and valid until the next one is yielded.
type Item struct {
	Position Position
	Time     time.Time
	Data     []byte
}

// Policy is the policy compiler.
type Policy interface {
	// WaitPublished waits until the cache in force contains the change at the index.
	WaitPublished(ctx context.Context, index uint64) error
	// Draft compiles what would be in force without putting it there.
	Draft(changed []*document.Document, deleted []string) policy.Draft
}

var _ Policy = (*policy.Compiler)(nil)

// Passwords makes and checks the stored forms of passwords.
type Passwords interface {
	// Build makes the forms that the user type keeps. The context bounds how long it waits for the slow ones.
	Build(ctx context.Context, user string, password []byte, t *document.UserType) (*event.PasswordSet, error)
	// Import makes the forms of a password of which only the hash is known that another system made.
	Import(user, hash string, t *document.UserType) (*event.PasswordSet, error)
	// Verify reports whether the password is the stored one.
	Verify(ctx context.Context, stored StoredPassword, password []byte) (bool, error)
	// Imported reports whether what is stored is still what Import made of the hash.
	Imported(stored StoredPassword, hash string, t *document.UserType) bool
}

// Server is the administration of one node.
type Server struct {
	cfg         Config
	log         *slog.Logger
	now         func() time.Time
	replays     *replays
	jobs        *jobs
	kinds       []document.Kind
	names       []string // of kinds
	simulations *rate.Limiter
	strangers   *strangers
	applies     chan struct{} // bounds the applies, plans and imports that are in memory at a time

	stop     chan struct{}
	stopOnce sync.Once
	running  sync.WaitGroup
	socket   string

	mu      sync.Mutex
	servers []*http.Server
}

// appliesAtOnce is how many requests may hold large bodies of documents at a time; others wait their turn.
const appliesAtOnce = 2

// New returns the administration of a node. It answers nothing until [Server.ServeSocket] or [Server.Serve] is called, and must
// be ended by [Server.Shutdown].
func New(cfg Config) *Server {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.PasswordsAtOnce = max(cfg.PasswordsAtOnce, 1)
	if cfg.MaxRecord == 0 {
		cfg.MaxRecord = 256 << 10
	}
	s := &Server{
		cfg: cfg, log: cfg.Logger, now: cfg.Clock,
		replays: newReplays(cfg.Clock), jobs: newJobs(cfg.Clock),
		simulations: rate.NewLimiter(simulationsPerSecond, simulationsAtOnce),
		strangers:   newStrangers(cfg.Clock),
		kinds:       document.Kinds(), applies: make(chan struct{}, appliesAtOnce), stop: make(chan struct{}),
	}
	for _, k := range s.kinds {
		s.names = append(s.names, k.Name)
	}
	return s
}

// httpLog takes what net/http has to say, such as failed TLS handshakes.
func (s *Server) httpLog() *log.Logger { return slog.NewLogLogger(s.log.Handler(), slog.LevelDebug) }

// enter takes one of the places for large requests, and returns how to give it back.
func (s *Server) enter(ctx context.Context) (func(), error) {
	select {
	case s.applies <- struct{}{}:
		return func() { <-s.applies }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
