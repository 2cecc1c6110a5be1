package api

import (
	"encoding/json"
	"time"
)

// Job is long work that goes on after its request was answered.
type Job struct {
	ID       string     `json:"id"`
	Kind     string     `json:"kind" doc:"What the job does, such as users.import"`
	State    JobState   `json:"state" enum:"running,succeeded,failed,cancelled"`
	By       string     `json:"by" doc:"Who started it"`
	Started  time.Time  `json:"started"`
	Ended    *time.Time `json:"ended,omitempty"`
	Phase    string     `json:"phase,omitempty" doc:"What it is doing now: checking, hashing, writing"`
	Done     int        `json:"done" doc:"Rows done in this phase"`
	Total    int        `json:"total" doc:"Rows altogether, 0 while not known"`
	Error    *Problem   `json:"error,omitempty" doc:"Why it failed"`
	Import   *Imported  `json:"import,omitempty" doc:"Outcome of an import, while it runs as far as it is known"`
	Warnings []Finding  `json:"warnings,omitempty" doc:"What in the documents has no effect"`
	Findings []Finding  `json:"findings,omitempty" doc:"Rows that are refused, at most 1000 of them; line is the row's line in the file"`
}

// JobState says how far a job is.
type JobState string

// The states of a job.
const (
	JobRunning   JobState = "running"
	JobSucceeded JobState = "succeeded"
	JobFailed    JobState = "failed"
	JobCancelled JobState = "cancelled"
)

// Imported counts what became of the rows of an import.
type Imported struct {
	Rows      int    `json:"rows" doc:"Rows in the file, its header not counted"`
	Bad       int    `json:"bad" doc:"Rows that are refused"`
	Created   int    `json:"created"`
	Updated   int    `json:"updated"`
	Unchanged int    `json:"unchanged" doc:"Rows that say what is already so"`
	Kept      int    `json:"kept" doc:"Rows of documents that exist and were left alone on request"`
	Skipped   int    `json:"skipped" doc:"Rows that were left out on request"`
	Passwords int    `json:"passwords" doc:"Passwords set"`
	Index     uint64 `json:"index,omitempty" doc:"Log index at which the import took effect; 0 if nothing changed"`

	Preview []ImportedRow `json:"preview,omitempty" doc:"What becomes of each row, at most 1000 of them, if that was asked for"`
}

// What becomes of a row, beside the actions of a plan.
const (
	RowKeep   = "keep"   // the document exists and is left alone
	RowSkip   = "skip"   // the row is left out on request
	RowRefuse = "refuse" // the findings say why
)

// ImportedRow says what becomes of a row.
type ImportedRow struct {
	Row      int       `json:"row" doc:"Number of the row, its header not counted; of several for one policy, that of the first"`
	Line     int       `json:"line" doc:"Line in the file"`
	Records  int       `json:"records" doc:"How many rows of the file the document takes"`
	Name     string    `json:"name,omitempty"`
	Action   string    `json:"action" enum:"create,update,unchanged,keep,skip,refuse"`
	Changes  []Change  `json:"changes,omitempty"`
	Findings []Finding `json:"findings,omitempty" doc:"Why the row is refused"`
}

// JobList is the jobs that the node remembers, newest first.
type JobList struct {
	Jobs []Job `json:"jobs" nullable:"false"`
}

// BackupRequest asks for an archive.
type BackupRequest struct {
	Passphrase string `json:"passphrase" minLength:"12" maxLength:"1024" doc:"The passphrase with which the archive is encrypted; without it nobody can read it" writeOnly:"true"`
}

// PasswordRequest sets a user's password.
type PasswordRequest struct {
	Password   string `json:"password" minLength:"1" maxLength:"1024" doc:"The new password; only the forms that the user type keeps are stored" writeOnly:"true"`
	MustChange bool   `json:"mustChange,omitempty" doc:"True if the user has to choose another one at the next opportunity"`
}

// Session is a live network session.
type Session struct {
	ID            string     `json:"id"`
	User          string     `json:"user,omitempty"`
	Client        string     `json:"client" doc:"Service provider"`
	NAS           string     `json:"nas,omitempty"`
	NASPort       uint32     `json:"nasPort,omitempty"`
	AcctSessionID string     `json:"acctSessionId"`
	Calling       string     `json:"calling,omitempty" doc:"Calling-Station-Id, often a MAC address"`
	Called        string     `json:"called,omitempty"`
	Addresses     []string   `json:"addresses,omitempty" doc:"Framed addresses and prefixes"`
	Login         string     `json:"login,omitempty" doc:"Decision id of its login, for explain"`
	Started       time.Time  `json:"started"`
	LastSeen      time.Time  `json:"lastSeen"`
	Seconds       uint32     `json:"seconds" doc:"Acct-Session-Time as last reported"`
	InputOctets   uint64     `json:"inputOctets"`
	OutputOctets  uint64     `json:"outputOctets"`
	StaleAt       *time.Time `json:"staleAt,omitempty" doc:"When it counts as ended unless it is heard of again"`
}

// LoginFailures is what is remembered of failed logins under one name.
type LoginFailures struct {
	Factor      string           `json:"factor,omitempty" doc:"The factor whose failures count by themselves, such as PIN; empty: all others, which count together"`
	Count       int              `json:"count" doc:"Failures that count towards the lock everywhere"`
	LockedUntil *time.Time       `json:"lockedUntil,omitempty" doc:"Until when it is locked out everywhere"`
	Last        time.Time        `json:"last" doc:"When the last failure was recorded"`
	Sources     []SourceFailures `json:"sources" nullable:"false" doc:"At most the last eight"`
}

// SourceFailures is what is remembered of the failures from one source.
type SourceFailures struct {
	Source      string     `json:"source" doc:"Hash of the device or address, as in the events LoginFailed"`
	Count       int        `json:"count"`
	LockedUntil *time.Time `json:"lockedUntil,omitempty" doc:"Until when the name is locked out from there"`
	Last        time.Time  `json:"last"`
}

// LoginFailureList is all that is remembered of failed logins under a name.
type LoginFailureList struct {
	Failures []LoginFailures `json:"failures" nullable:"false"`
}

// SessionList is a page of sessions.
type SessionList struct {
	Sessions []Session `json:"sessions" nullable:"false"`
	Next     string    `json:"next,omitempty" doc:"Cursor of the next page"`
}

// Event is one fact of the log.
type Event struct {
	Position string          `json:"position" doc:"Place in the log, index.offset; a reader goes on from here"`
	At       time.Time       `json:"at" doc:"Record time"`
	Class    string          `json:"class" doc:"config, identity, session, accounting, decision or system"`
	Type     string          `json:"type" doc:"Event type, such as DocumentPut"`
	Body     json.RawMessage `json:"body" doc:"Fields of the event; secrets are left out"`
}

// EventList is a page of events.
type EventList struct {
	Events []Event `json:"events" nullable:"false"`
	Next   string  `json:"next,omitempty" doc:"Position to go on from; absent when there is nothing more"`

	CompleteFrom uint64 `json:"completeFrom,omitempty" doc:"On a node that joined or was away: the log index from which on its history is complete; what is before it is still coming from the other nodes. Absent when nothing is missing"`
}

// StreamFailed is the last event of a stream that could not go on.
type StreamFailed struct {
	Problem Problem `json:"problem"`
}

// Explanation says why a login was decided as it was.
type Explanation struct {
	ID string `json:"id"`
	Decision
	Micros   uint32 `json:"micros" doc:"Time that the decision took, in microseconds"`
	Position string `json:"position" doc:"Place in the log"`
}

// Decision is how a login was decided, and why.
type Decision struct {
	At        time.Time `json:"at"`
	Protocol  string    `json:"protocol"`
	Verdict   string    `json:"verdict" doc:"accept, reject, challenge or discard"`
	Reason    string    `json:"reason" doc:"Stable reason code"`
	Meaning   string    `json:"meaning,omitempty" doc:"The reason in plain words"`
	Advice    string    `json:"advice,omitempty" doc:"What to do about it"`
	UserName  string    `json:"userName,omitempty" doc:"Login name as it came"`
	User      string    `json:"user,omitempty" doc:"User that it was resolved to"`
	Client    string    `json:"client,omitempty" doc:"Service provider"`
	Method    string    `json:"method,omitempty"`
	NAS       string    `json:"nas,omitempty"`
	NASPort   uint32    `json:"nasPort,omitempty"`
	Calling   string    `json:"calling,omitempty"`
	Called    string    `json:"called,omitempty"`
	Source    string    `json:"source,omitempty" doc:"Address that the request came from"`
	Policy    uint64    `json:"policy" doc:"Log index of the configuration that decided"`
	Kind      string    `json:"kind,omitempty" doc:"enable or authorization (TACACS+); absent: login"`
	Service   string    `json:"service,omitempty" doc:"Service that the authorization is for"`
	Command   string    `json:"command,omitempty" doc:"Command line that the authorization is for, normalised"`
	Level     *uint32   `json:"level,omitempty" doc:"Privilege level that is asked for, or that the device says that the user has"`
	Privilege *uint32   `json:"privilege,omitempty" doc:"Privilege level that the user's roles give"`
	Port      string    `json:"port,omitempty" doc:"Port of the device by its name"`
	Steps     []Step    `json:"steps,omitempty" doc:"What was looked at, in order"`
}

// SimulationRequest asks what a login would get, or over TACACS+ an authorization.
type SimulationRequest struct {
	User       string       `json:"user" maxLength:"1024" doc:"Login name as the device would send it"`
	Client     string       `json:"client,omitempty" maxLength:"512" doc:"Service provider that asks. This or source is given, or both"`
	Source     string       `json:"source,omitempty" maxLength:"64" doc:"Address that the request comes from; absent: one of the service provider's"`
	Protocol   string       `json:"protocol,omitempty" enum:"radius,tacacs" doc:"Protocol that it comes by; absent: the service provider's, or with source alone tacacs where something is given that TACACS+ alone has, and else radius"`
	Method     string       `json:"method,omitempty" enum:"ascii,pap,chap,mschapv1,mschapv2,none" doc:"How the password is proved; absent: pap, and over TACACS+ ascii. RADIUS has no ascii, TACACS+ no none"`
	Password   string       `json:"password,omitempty" maxLength:"1024" doc:"The password; absent where it is assumed" writeOnly:"true"`
	Assume     *Assumptions `json:"assume,omitempty" doc:"What is taken for granted instead of looked at"`
	Attributes []string     `json:"attributes,omitempty" maxItems:"512" doc:"Further attributes of a RADIUS request by their names in the dictionary, such as NAS-Port-Type = Ethernet"`
	Enable     *int         `json:"enable,omitempty" minimum:"0" maximum:"15" doc:"TACACS+: the privilege level that is asked for by enable; absent: it is a login"`
	Service    string       `json:"service,omitempty" maxLength:"247" doc:"TACACS+: has this service authorized, such as shell; nobody logs in then"`
	Command    string       `json:"command,omitempty" maxLength:"4096" doc:"TACACS+: has this command line authorized, such as show version; nobody logs in then"`
	Arguments  []string     `json:"arguments,omitempty" maxItems:"255" doc:"TACACS+: further arguments of the authorization, such as protocol=ip"`
	Level      *int         `json:"level,omitempty" minimum:"0" maximum:"15" doc:"TACACS+: privilege level that the device says that the user has, in an authorization; absent: 1"`
	Port       string       `json:"port,omitempty" maxLength:"255" doc:"TACACS+: the line on the device"`
	Remote     string       `json:"remoteAddress,omitempty" maxLength:"255" doc:"TACACS+: where the user is"`
	At         *time.Time   `json:"at,omitempty" doc:"When the login comes; absent: now"`
	Documents  []DraftFile  `json:"documents,omitempty" maxItems:"1000" doc:"Documents as they would be, laid over those in force"`
}

// Assumptions are what a simulation takes for granted.
type Assumptions struct {
	Password string `json:"password,omitempty" enum:"ok,wrong" doc:"Whether the password is right"`
}

// DraftFile is a file of documents.
type DraftFile struct {
	Name string `json:"name,omitempty" maxLength:"4096" doc:"Its name, which stands in what is found"`
	Text string `json:"text" doc:"Documents, separated by ---"`
}

// Simulation is what a login would get. Nothing of it is recorded.
type Simulation struct {
	Decision
	Assumed    []string    `json:"assumed,omitempty" doc:"What was taken for granted, in plain words"`
	Draft      []string    `json:"draft,omitempty" doc:"Documents that were laid over those in force, as Kind/name; those that change nothing are left out"`
	Warnings   []Finding   `json:"warnings,omitempty" doc:"What an apply of the draft would warn about"`
	Answer     string      `json:"answer,omitempty" doc:"Code or status of the answer, such as Access-Accept, PASS, GETDATA or PASS_ADD; absent: the device would get none"`
	Attributes []Attribute `json:"attributes,omitempty" doc:"Attributes of a RADIUS answer, in its order; secrets are redacted"`
	Message    string      `json:"message,omitempty" doc:"What a TACACS+ answer has for the user to read"`
	Arguments  []string    `json:"arguments,omitempty" doc:"Arguments of a TACACS+ answer, in its order"`
}

// Attribute is an attribute of an answer by its name in the dictionary.
type Attribute struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Step is one step of a decision.
type Step struct {
	Text  string `json:"text" doc:"Plain words"`
	Nanos uint32 `json:"nanos,omitempty" doc:"Nanoseconds since the request came"`
}

// Key is an API key without its secret.
type Key struct {
	ID          string     `json:"id"`
	Description string     `json:"description,omitempty"`
	Scopes      []string   `json:"scopes" nullable:"false"`
	CreatedAt   time.Time  `json:"createdAt"`
	CreatedBy   string     `json:"createdBy,omitempty"`
	Expires     *time.Time `json:"expires,omitempty" doc:"Absent: never"`
	Expired     bool       `json:"expired,omitempty"`
}

// KeyList is the API keys.
type KeyList struct {
	Keys []Key `json:"keys" nullable:"false"`
}

// KeyRequest asks for an API key.
type KeyRequest struct {
	Description string   `json:"description" minLength:"1" maxLength:"256" doc:"What the key is for"`
	Scopes      []string `json:"scopes" minItems:"1" maxItems:"64" doc:"What the key may do; none that its maker may not"`
	Days        int      `json:"days,omitempty" minimum:"0" maximum:"3650" doc:"Days until it expires; 0: 90 days"`
	Never       bool     `json:"never,omitempty" doc:"True if the key never expires"`
}

// NewKey is a key that was just made. Its secret is shown this once.
type NewKey struct {
	Key
	Secret string `json:"secret" doc:"The whole key, to be sent as Authorization: Bearer; it cannot be shown again"`
}

// Version says what runs.
type Version struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	API     string `json:"api" doc:"Version of the API"`
}

// Status says how a node is.
type Status struct {
	Node       string           `json:"node" doc:"Name of the node"`
	Cluster    string           `json:"cluster,omitempty" doc:"Id of the cluster; absent: the node is alone"`
	Members    []ClusterNode    `json:"members,omitempty" doc:"The cluster's nodes"`
	Version    string           `json:"version"`
	Started    time.Time        `json:"started"`
	Ready      bool             `json:"ready"`
	NotReady   string           `json:"notReady,omitempty" doc:"Why the node is not ready"`
	Log        LogStatus        `json:"log"`
	Policy     PolicyStatus     `json:"policy"`
	Documents  map[string]int   `json:"documents" doc:"Number of documents by kind"`
	Sessions   int              `json:"sessions" doc:"Live network sessions"`
	Listeners  []ListenerStatus `json:"listeners,omitempty"`
	Conditions []string         `json:"conditions,omitempty" doc:"What an administrator should know, in plain words"`
}

// LogStatus says how the record log of a node is.
type LogStatus struct {
	Role         string     `json:"role" doc:"leader, follower, candidate or stopped"`
	Leader       string     `json:"leader,omitempty"`
	Term         uint64     `json:"term"`
	Applied      uint64     `json:"applied" doc:"Index of the last entry applied here"`
	Committed    uint64     `json:"committed"`
	AppliedAt    *time.Time `json:"appliedAt,omitempty" doc:"Record time of the last entry applied"`
	SealIndex    uint64     `json:"sealIndex"`
	SealedAt     *time.Time `json:"sealedAt,omitempty"`
	DiskFree     int64      `json:"diskFree" doc:"Free bytes on the data directory's file system"`
	HistoryBytes int64      `json:"historyBytes"`
	Queue        int        `json:"queue" doc:"Records waiting to be proposed"`
}

// PolicyStatus says which configuration decides.
type PolicyStatus struct {
	Index  uint64    `json:"index" doc:"Log index of the last change in force"`
	Built  time.Time `json:"built"`
	Broken []string  `json:"broken,omitempty" doc:"Documents that could not be compiled and reject what they decide"`
}

// ListenerStatus is an address that the node answers on.
type ListenerStatus struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

// TestMessage asks for a test message.
type TestMessage struct {
	Channel  string `json:"channel" enum:"mail,sms,push"`
	To       string `json:"to" minLength:"1" maxLength:"320" doc:"Mail address or telephone number"`
	Language string `json:"language,omitempty" maxLength:"64" doc:"BCP 47 tag; absent: the gateway's language"`
}

// Delivery says what became of a message.
type Delivery struct {
	Delivered bool   `json:"delivered" doc:"True if the next server on the way took it"`
	Gateway   string `json:"gateway,omitempty" doc:"Name of the MessageGateway"`
	Attempts  int    `json:"attempts"`
	Millis    int64  `json:"millis"`
	Reason    string `json:"reason,omitempty" doc:"Stable reason code of a failure"`
	Error     string `json:"error,omitempty" doc:"What went wrong"`
	Advice    string `json:"advice,omitempty" doc:"What to do about it"`
}
