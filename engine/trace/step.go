package trace

import "strings"

// StepCode says what a step of a decision was. The numbers are recorded and never change; a step that is no longer taken
// keeps its number and its words.
type StepCode uint16

// The steps. Subject and detail are in the comment.
const (
	StepNone StepCode = 0

	// Who asks.
	ClientChosen  StepCode = 1 // client, source address
	ClientNone    StepCode = 2 // source address
	ClientIsBad   StepCode = 3 // client, what is wrong
	IssuerChosen  StepCode = 4 // identity provider
	IssuerNone    StepCode = 5 // client
	MethodAllowed StepCode = 6 // method, identity provider
	MethodOff     StepCode = 7 // method, identity provider
	MethodUnknown StepCode = 8 // what came
	ServiceAsked  StepCode = 9 // service

	// For whom.
	NameCame     StepCode = 20 // name as it came
	NameStripped StepCode = 21 // name that is looked up, realm
	RealmUnlike  StepCode = 22 // realm
	UserFound    StepCode = 23 // user, name looked up
	UserNotFound StepCode = 24 // name looked up
	UserIsOff    StepCode = 25 // user
	TypeFound    StepCode = 26 // user type
	TypeNotFound StepCode = 27 // user type
	GroupIsBad   StepCode = 28 // group, what is wrong
	TypeIsBad    StepCode = 29 // user type, what is wrong

	// With which proof.
	PasswordFromCache   StepCode = 40 // user
	PasswordChecked     StepCode = 41 // form
	PasswordDiffers     StepCode = 42 // form
	PasswordAbsent      StepCode = 43 // user
	FormNotKept         StepCode = 44 // form that the method needs, user type
	FormUnreadable      StepCode = 45 // form, error
	SentToWorker        StepCode = 46 // form
	JoinedWork          StepCode = 47 // user
	WorkerAnswered      StepCode = 48 // form
	WorkerRefused       StepCode = 49 // cause
	Throttled           StepCode = 50 // user or source, which limit
	ProofIsBad          StepCode = 51 // what is wrong
	PasswordOutOfDate   StepCode = 52 // age, allowed
	PasswordToBeChanged StepCode = 53 // user
	NewPasswordRefused  StepCode = 54 // rule
	NewPasswordSet      StepCode = 55 // user
	DecoyChecked        StepCode = 56 // form
	ChangeNotOffered    StepCode = 57 // method, user type

	// Which factors.
	RuleChosen        StepCode = 190 // rule, identity provider
	RuleFailed        StepCode = 191 // rule, error
	RuleScriptRun     StepCode = 280 // rule, what its script yielded
	FactorsProved     StepCode = 192 // factors, identity provider
	FactorMissing     StepCode = 193 // factors, why they cannot be had
	FactorAsked       StepCode = 194 // factor
	FactorAccepted    StepCode = 195 // factor, its label
	FactorDiffers     StepCode = 196 // factor, what is wrong
	FactorReplayed    StepCode = 197 // factor, what was used before
	ChallengeAnswered StepCode = 198 // decision that asked, factor
	ChallengeVoid     StepCode = 199 // why
	CodeAppended      StepCode = 270 // factor

	// Sessions.
	SessionsCounted StepCode = 60 // count, limit
	SessionsFull    StepCode = 61 // count, limit
	SessionReserved StepCode = 62 // limit

	// What is released.
	PolicyMatched    StepCode = 80 // policy
	PolicyUnmatched  StepCode = 81 // policy, condition that was false
	AttributeAllowed StepCode = 82 // attribute, policy
	AttributeDenied  StepCode = 83 // attribute, policy
	AttributeEmpty   StepCode = 84 // attribute
	ReplyAdded       StepCode = 85 // document that the template is of
	ReplyIsBad       StepCode = 86 // document, what is wrong
	NothingReleased  StepCode = 87 // client

	// What is required of whom.
	RoleHeld      StepCode = 140 // role, service provider
	RolesLacked   StepCode = 141 // roles of which one is required, service provider
	AccountHeld   StepCode = 142 // system, service provider
	AccountLacked StepCode = 143 // system, service provider
	AccountIsOff  StepCode = 144 // system, service provider
	RoleIsBad     StepCode = 145 // role, what is wrong
	RuleMatched   StepCode = 146 // rule, what it does
	RuleUnmatched StepCode = 147 // rule, what of its condition does not hold
	NoRuleMatched StepCode = 148 // service provider
	AccessLacked  StepCode = 149 // identity provider, field

	// Devices that are let in by their MAC address.
	EndpointFound    StepCode = 150 // endpoint, name as it came
	EndpointNotFound StepCode = 151 // name as it came
	EndpointIsOver   StepCode = 152 // endpoint, when it ended
	EndpointUnlike   StepCode = 153 // endpoint, other address
	EndpointsOff     StepCode = 154 // service provider

	// What expressions and scripts make.
	ComputationFailed StepCode = 110 // document, place and what is wrong
	ScriptSent        StepCode = 111 // document
	ScriptRun         StepCode = 112 // document
	UIDMade           StepCode = 113 // user name, service provider

	// The log, and time.
	RecordWanted     StepCode = 100 // what is recorded
	RecordCommitted  StepCode = 101 // index
	RecordRefused    StepCode = 102 // cause
	DeadlinePassed   StepCode = 103 // what was under way
	StepsLeftOut     StepCode = 104 // count
	ConditionDecided StepCode = 105 // rule, outcome

	// Failures.
	LockedHere       StepCode = 170 // login name, until when
	LockedEverywhere StepCode = 171 // login name, until when
	HeldBack         StepCode = 172 // login name
	FailureCounted   StepCode = 173 // factor

	// Changes of passwords.
	PasswordIsYoung  StepCode = 174 // age, least age
	PasswordIsStale  StepCode = 175 // age, most age and grace
	ChangedMeanwhile StepCode = 176 // user

	// With which other factors.
	OTPChecked      StepCode = 200 // kind, counter
	OTPDiffers      StepCode = 201 // kind
	OTPUsed         StepCode = 202 // kind, lowest counter that was not used
	OTPAhead        StepCode = 203 // kind, lowest counter that was not used
	RecoveryChecked StepCode = 204 // nothing, codes left
	RecoveryDiffers StepCode = 205
	RecoverySpent   StepCode = 206
	PINChecked      StepCode = 207
	PINDiffers      StepCode = 208
	CodeChecked     StepCode = 209 // channel
	CodeDiffers     StepCode = 210 // channel, attempts left
	CodeTooLate     StepCode = 211 // channel, when it ended
	CodeSpent       StepCode = 212 // channel, failures
	PushApproved    StepCode = 213 // device
	PushRejected    StepCode = 214 // device
	PushIgnored     StepCode = 215 // device, why
	WebAuthnChecked StepCode = 216 // credential
	WebAuthnRefused StepCode = 217 // credential, why
	FactorIsBad     StepCode = 219 // factor

	// Certificates and tickets.
	CertificateCame    StepCode = 230 // subject, serial number
	CertificateChained StepCode = 231 // root
	CertificateRefused StepCode = 232 // what is wrong
	RevocationChecked  StepCode = 233 // who told
	RevocationUnknown  StepCode = 234 // what went wrong
	RevocationExcused  StepCode = 235 // what went wrong
	CertificateMapped  StepCode = 236 // user, part of the certificate
	TicketCame         StepCode = 237 // principal, service
	TicketRefused      StepCode = 238 // what is wrong
	PrincipalMapped    StepCode = 239 // user, principal

	// Messages to people.
	MessageTaken     StepCode = 250 // channel, masked recipient
	MessageNotTaken  StepCode = 251 // channel, why
	MessageDelivered StepCode = 252 // channel, gateway
	MessageFailed    StepCode = 253 // channel, why

	// Simulated logins, which are not recorded.
	PasswordAssumed StepCode = 260 // right or wrong, form

	// Push challenges on their way.
	PushSent    StepCode = 290 // device
	PushPending StepCode = 291 // how often the person was asked
	PushGone    StepCode = 292 // device

	// Privilege levels and command authorization.
	PrivilegeHeld       StepCode = 300 // level, system
	PrivilegeLacked     StepCode = 301 // system
	EnableAsked         StepCode = 302 // level
	EnableTooHigh       StepCode = 303 // level, what the user has
	EnableSecretFits    StepCode = 304 // system
	EnableSecretDiffers StepCode = 305 // system
	SystemIsBad         StepCode = 306 // system, what is wrong
	ServiceWanted       StepCode = 307 // service
	CommandWanted       StepCode = 308 // command line
	CommandPermitted    StepCode = 309 // role or rule, pattern
	CommandDenied       StepCode = 310 // role or rule, pattern
	CommandUnmatched    StepCode = 311 // who has a list
	CommandsUnlisted    StepCode = 312 // system
	ServiceListed       StepCode = 313 // service, role or rule
	ServiceUnlisted     StepCode = 314 // service, system
	ArgumentIsBad       StepCode = 315 // argument, what is wrong
	ArgumentUnhandled   StepCode = 316 // argument
	ArgumentUnlike      StepCode = 317 // argument, what is given
	ArgumentReplaced    StepCode = 318 // argument as it came, as it is given; nothing where it is left out
	ArgumentAbsent      StepCode = 319 // argument
	RulesAuthorized     StepCode = 320 // service provider, what was decided before
	RulesRefused        StepCode = 321 // service provider, what was decided before
	ArgumentsChanged    StepCode = 322 // service provider, how many there are now
	ArgumentsTooMany    StepCode = 323 // how many

	// Imported passwords.
	RehashBegun  StepCode = 130 // user
	RehashPutOff StepCode = 131 // user
	FormToCome   StepCode = 132 // form that the method needs

	// Sessions of single sign-on, and trusted devices.
	SSOCounts        StepCode = 330 // number, factors
	SSOVoid          StepCode = 331 // why
	DemandMade       StepCode = 332 // what is asked for beside the matrix
	WaySatisfied     StepCode = 333 // factors, identity provider
	NextWanted       StepCode = 334 // factors
	SSOBegun         StepCode = 335 // number
	SSOGoesOn        StepCode = 336 // number
	SSOVisited       StepCode = 337 // number, service provider
	DeviceStands     StepCode = 338 // device, factor
	DeviceVoid       StepCode = 339 // why
	DeviceTrusted    StepCode = 340 // device, until when
	DeviceNotTrusted StepCode = 341 // why
	ExternalAccepted StepCode = 342 // external identity provider, whom it names
	FactorOfAnother  StepCode = 343 // factor, whom it names
	FactorBegun      StepCode = 344 // factor

	// Grants and tokens.
	GrantBegun    StepCode = 350 // number, scopes
	GrantGoesOn   StepCode = 351 // number, generation
	GrantEnded    StepCode = 352 // number, why
	GrantVoid     StepCode = 353 // number, why
	TokenIssued   StepCode = 354 // id, service provider
	TokenVoid     StepCode = 355 // id, why
	ScopesGranted StepCode = 356 // scopes, service provider
	ScopesCut     StepCode = 357 // scopes, why
	ConsentKept   StepCode = 358 // service provider, what
	ConsentLacked StepCode = 359 // service provider, what
	ProtocolFound StepCode = 360 // what, what is wrong
	ClientProved  StepCode = 361 // service provider, method
	KeysMade      StepCode = 362 // identity provider, algorithms
)

// templates holds the words of each step; {s} is its subject, {d} its detail.
var templates = [...]string{
	ClientChosen:  "The source {d} belongs to the service provider {s}.",
	ClientNone:    "No service provider claims the source {s}.",
	ClientIsBad:   "The service provider {s} could not be compiled: {d}.",
	IssuerChosen:  "The identity provider {s} decides.",
	IssuerNone:    "No identity provider decides for {s}.",
	MethodAllowed: "The method {s} is allowed by {d}.",
	MethodOff:     "The method {s} is switched off in {d}.",
	MethodUnknown: "The request proves nothing that can be verified: {s}.",
	ServiceAsked:  "The device asked for the service {s}.",

	NameCame:     "The login name came as {s}.",
	NameStripped: "The realm {d} was taken off; the name looked up is {s}.",
	RealmUnlike:  "The realm {s} is not one of this service provider's.",
	UserFound:    "Looked up {d}: found the user {s}.",
	UserNotFound: "Looked up {s}: there is no such user.",
	UserIsOff:    "The user {s} is switched off.",
	TypeFound:    "The user's type is {s}.",
	TypeNotFound: "The user's type {s} does not exist.",
	GroupIsBad:   "The group {s} could not be compiled: {d}.",
	TypeIsBad:    "The user type {s} could not be read: {d}.",

	PasswordFromCache:   "The same password was verified before (user {s}).",
	PasswordChecked:     "The password fits the {s} form.",
	PasswordDiffers:     "The password does not fit the {s} form.",
	PasswordAbsent:      "The user {s} has no password.",
	FormNotKept:         "The method needs the {s} form of the password, which is not kept by {d}.",
	FormUnreadable:      "The {s} form of the password cannot be opened: {d}.",
	SentToWorker:        "The {s} form takes time; the worker verifies it.",
	JoinedWork:          "The same password of {s} was being verified already; waited for that.",
	WorkerAnswered:      "The worker has verified the {s} form.",
	WorkerRefused:       "The worker did not verify the password: {s}.",
	Throttled:           "Too many failures: {s} is held back ({d}).",
	ProofIsBad:          "The proof is malformed: {s}.",
	PasswordOutOfDate:   "The password is {s} old; {d} is allowed.",
	PasswordToBeChanged: "The password of {s} must be changed first.",
	NewPasswordRefused:  "The new password does not meet the rule: {s}.",
	NewPasswordSet:      "The user {s} has a new password.",
	DecoyChecked:        "Did the work of a known user all the same ({s} form).",
	ChangeNotOffered:    "The device asked to change the password ({s}), which the user type {d} does not allow.",

	RuleChosen:        "The adaptive rule {s} of {d} chose which factors are needed.",
	RuleFailed:        "The adaptive rule {s} could not be evaluated: {d}.",
	RuleScriptRun:     "The worker has run the script of the adaptive rule {s}: it is {d}.",
	FactorsProved:     "Proved so far: {s}. That is not one of the ways that {d} accepts.",
	FactorMissing:     "Needed is {s}; {d}.",
	FactorAsked:       "Asked for {s}.",
	FactorAccepted:    "{s} was proved ({d}).",
	FactorDiffers:     "{s} was not proved: {d}.",
	FactorReplayed:    "{s} was used before: {d}.",
	ChallengeAnswered: "Answers the challenge of the login {s}, which asked for {d}.",
	ChallengeVoid:     "The challenge does not count: {s}.",
	CodeAppended:      "The password came with {s} behind it.",

	SessionsCounted: "{s} sessions of {d} are in use.",
	SessionsFull:    "All {d} sessions are in use ({s}).",
	SessionReserved: "A place under the limit of {s} sessions was reserved.",

	PolicyMatched:    "The sharing policy {s} applies.",
	PolicyUnmatched:  "The sharing policy {s} does not apply: {d}.",
	AttributeAllowed: "The attribute {s} is released by {d}.",
	AttributeDenied:  "The attribute {s} is held back by {d}.",
	AttributeEmpty:   "The attribute {s} has no value.",
	ReplyAdded:       "The reply of {s} was added.",
	ReplyIsBad:       "The reply of {s} could not be built: {d}.",
	NothingReleased:  "No sharing policy releases anything to {s}.",

	RoleHeld:      "The user has the role {s}, which {d} requires.",
	RolesLacked:   "{d} requires one of these roles, and the user has none of them now: {s}.",
	AccountHeld:   "The user has an enabled account in {s}, which {d} requires.",
	AccountLacked: "{d} requires an account in {s}, and the user has none.",
	AccountIsOff:  "{d} requires an enabled account in {s}, and the user's is disabled.",
	RoleIsBad:     "The role {s} could not be compiled: {d}.",
	RuleMatched:   "The authorization rule {s} {d}.",
	RuleUnmatched: "The authorization rule {s} does not apply, as this does not hold: {d}.",
	NoRuleMatched: "No authorization rule of {s} applies, so it lets in and adds nothing.",
	AccessLacked:  "The identity provider {s} is not for this user: its access.{d} is not met.",

	EndpointFound:    "Looked up {d}: found the endpoint {s}.",
	EndpointNotFound: "Looked up {s}: there is no such endpoint.",
	EndpointIsOver:   "The endpoint {s} was known until {d}.",
	EndpointUnlike:   "The device says that it is {s}, and beside it that its address is {d}.",
	EndpointsOff:     "The service provider {s} does not let devices in by their MAC address.",

	ComputationFailed: "The value that the {s} makes could not be had: {d}.",
	ScriptSent:        "The worker runs the script of the {s}.",
	ScriptRun:         "The worker has run the script of the {s}.",
	UIDMade:           "{d} is told the user name {s}.",

	RecordWanted:     "The answer waits for the record of {s}.",
	RecordCommitted:  "The record was committed at index {s}.",
	RecordRefused:    "The log did not take the record: {s}.",
	DeadlinePassed:   "The device no longer waits; dropped {s}.",
	StepsLeftOut:     "{s} more steps were not kept.",
	ConditionDecided: "The condition {s} is {d}.",

	LockedHere:       "The name {s} is locked out from this source until {d} UTC, so the proof was not looked at.",
	LockedEverywhere: "The name {s} is locked out everywhere until {d} UTC, so the proof was not looked at.",
	HeldBack:         "As many failures of {s} as lock it out have just come to this node, so the proof was not looked at.",
	FailureCounted:   "The failure counts towards the lock of this name ({s}).",

	PasswordIsYoung:  "The password is {s} old; it may be changed when it is {d} old.",
	PasswordIsStale:  "The password is {s} old, too old to be changed: {d} are allowed for that.",
	ChangedMeanwhile: "The password of {s} was changed by somebody else meanwhile.",

	OTPChecked:      "The one-time password is the {s} code of counter {d}.",
	OTPDiffers:      "The one-time password is no {s} code within the window.",
	OTPUsed:         "The {s} code was used: only those from counter {d} on are good.",
	OTPAhead:        "The {s} code is older than one that was used, and that is later than the clock allows: only those from counter {d} on are good.",
	RecoveryChecked: "The recovery code is one of the set; {d} are left.",
	RecoveryDiffers: "The recovery code is none of the set.",
	RecoverySpent:   "The recovery code is one of the set and was used before.",
	PINChecked:      "The PIN fits.",
	PINDiffers:      "The PIN does not fit.",
	CodeChecked:     "The code that was sent by {s} fits.",
	CodeDiffers:     "The code that was sent by {s} does not fit; attempts left: {d}.",
	CodeTooLate:     "The code that was sent by {s} was good until {d}.",
	CodeSpent:       "The code that was sent by {s} is void after {d} wrong ones.",
	PushApproved:    "The device {s} approved.",
	PushRejected:    "The device {s} denied.",
	PushIgnored:     "What the device {s} said does not count: {d}.",
	WebAuthnChecked: "The security key or passkey {s} holds.",
	WebAuthnRefused: "The security key or passkey {s} was refused: {d}.",
	FactorIsBad:     "What is stored of the factor {s} cannot be opened.",

	CertificateCame:    "A client certificate of {s} came, serial number {d}.",
	CertificateChained: "It leads to the root {s}.",
	CertificateRefused: "The client certificate is refused: {s}.",
	RevocationChecked:  "It was not revoked: {s}.",
	RevocationUnknown:  "Whether it was revoked could not be found out: {s}.",
	RevocationExcused:  "Whether it was revoked could not be found out, which the policy accepts: {s}.",
	CertificateMapped:  "It names the user {s}: {d}.",
	TicketCame:         "A Kerberos ticket of {s} for {d} came.",
	TicketRefused:      "The Kerberos ticket is refused: {s}.",
	PrincipalMapped:    "The principal {d} is the user {s}.",

	MessageTaken:     "A message goes to {d} by {s}.",
	MessageNotTaken:  "No message was sent by {s}: {d}.",
	MessageDelivered: "The gateway {d} took the message by {s}.",
	MessageFailed:    "The message by {s} was not delivered: {d}.",

	PasswordAssumed: "The password was not looked at: it is assumed to be {s} ({d} form).",

	PushSent:    "A challenge goes to the device {s}.",
	PushPending: "No device has answered yet, so the person is asked once more (so far {s} times).",
	PushGone:    "The device {s} answered, but is no longer one of the user's.",

	PrivilegeHeld:       "The user's roles in {d} give the privilege level {s}.",
	PrivilegeLacked:     "The user has none of the roles 0@{s} to 15@{s} now.",
	EnableAsked:         "The device asked for the privilege level {s}.",
	EnableTooHigh:       "The privilege level {s} is above {d}, which is all that the user's roles give.",
	EnableSecretFits:    "The enable secret of {s} fits.",
	EnableSecretDiffers: "The enable secret of {s} does not fit.",
	SystemIsBad:         "The information system {s} cannot be used: {d}.",
	ServiceWanted:       "Authorization for the service {s}.",
	CommandWanted:       "Authorization for the command: {s}",
	CommandPermitted:    "{s} permits it by the pattern: {d}",
	CommandDenied:       "{s} denies it by the pattern: {d}",
	CommandUnmatched:    "No pattern of {s} matches, so it is denied.",
	CommandsUnlisted:    "None of the user's roles in {s} has a list of commands, so all are permitted.",
	ServiceListed:       "{d} gives what the answer carries for {s}.",
	ServiceUnlisted:     "None of the user's roles in {d} lists the service {s}.",
	ArgumentIsBad:       "The argument {s} cannot be read: {d}.",
	ArgumentUnhandled:   "The device asks for {s}, which it calls mandatory, and nothing here handles that.",
	ArgumentUnlike:      "The device asks for {s}, which it calls mandatory, and the user gets {d}.",
	ArgumentReplaced:    "In place of {s} the answer has: {d}",
	ArgumentAbsent:      "The request has no argument {s}.",
	RulesAuthorized:     "The authorization rules of {s} authorize it; before them it was {d}.",
	RulesRefused:        "The authorization rules of {s} refuse it; before them it was {d}.",
	ArgumentsChanged:    "The authorization rules of {s} changed the arguments; there are {d} now.",
	ArgumentsTooMany:    "The answer would have {s} arguments, and 255 is the most.",

	RehashBegun:      "The password of {s} was imported; this login has it re-hashed to the forms of the user's type.",
	RehashPutOff:     "The password of {s} was imported and stays so for now: it is being re-hashed already, or too many others are.",
	SSOCounts:        "The session {s} of single sign-on brings {d}.",
	SSOVoid:          "The session of single sign-on that the browser names does not count: {s}.",
	DemandMade:       "Beside the matrix is asked for: {s}.",
	WaySatisfied:     "{s} is a way that {d} accepts.",
	NextWanted:       "One of these is wanted next: {s}.",
	SSOBegun:         "The session {s} of single sign-on begins.",
	SSOGoesOn:        "The session {s} of single sign-on goes on under another id.",
	SSOVisited:       "The session {s} of single sign-on has visited {d}.",
	DeviceStands:     "The trusted device {s} stands for {d}.",
	DeviceVoid:       "The trusted device that the browser names does not count: {s}.",
	DeviceTrusted:    "The device {s} is trusted until {d} UTC.",
	DeviceNotTrusted: "The device was not made a trusted one: {s}.",
	ExternalAccepted: "The identity provider {s} says that it is {d}.",
	FactorOfAnother:  "What proves {s} is of another person: {d}.",
	FactorBegun:      "The person chose {s}.",

	GrantBegun:    "The grant {s} begins: {d}.",
	GrantGoesOn:   "The grant {s} goes on with refresh token number {d}.",
	GrantEnded:    "The grant {s} has ended: {d}.",
	GrantVoid:     "The grant {s} does not count: {d}.",
	TokenIssued:   "The access token {s} was issued to {d}.",
	TokenVoid:     "The access token {s} does not count: {d}.",
	ScopesGranted: "{d} gets: {s}.",
	ScopesCut:     "Not granted are {s}: {d}.",
	ConsentKept:   "The person lets {s} know: {d}.",
	ConsentLacked: "The person has not consented that {s} gets: {d}.",
	ProtocolFound: "{s}: {d}.",
	ClientProved:  "{s} has proved by {d} that it is itself.",
	KeysMade:      "Keys to sign with were made for {s}: {d}.",

	FormToCome: "The method needs the {s} form of the password, of which only an imported hash is known; the first login with PAP makes it.",
}

// Words tells a step in one plain sentence.
func (c StepCode) Words(subject, detail string) string {
	template := ""
	if int(c) < len(templates) {
		template = templates[c]
	}
	if template == "" {
		template = "A step that this release does not know: {s} {d}."
	}
	if subject == "" {
		subject = `""`
	}
	return strings.NewReplacer("{s}", subject, "{d}", detail).Replace(template)
}
