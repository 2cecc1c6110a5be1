package state

import (
	"bytes"
	"fmt"
	"strings"

	"trine/engine/event"
	"trine/engine/event/field"
)

// plan is what a proposal does to documents and one-shot keys, known before any of it is applied.
type plan struct {
	changes  []docChange
	at       map[string]int32 // index in changes by document key
	claims   map[string]int32 // index in changes by claim
	consumed map[string]struct{}
	delta    map[string]int // change in the number of references by document key; see references
	counted  bool
}

// docChange is a DocumentPut or DocumentDeleted, in the event's memory.
type docChange struct {
	kind, name, spec, by []byte
	body                 []byte
	key                  string // "Kind/name", user names folded
	put                  bool
}

// check reports whether the proposal can take effect: first its expectations, then what its events demand by themselves.
func (s *State) check(at Stamp) Result {
	w := &s.work
	var demand Result
	for i := range w.events {
		r := s.checkEvent(at, i)
		if demand.Code == 0 {
			demand = r
		}
	}
	for i := range w.expect {
		if r := s.checkExpectation(at, &w.expect[i]); r.Code != 0 && demands {
			return r
		}
	}
	if demand.Code != 0 || len(w.plan.changes) == 0 {
		return demand
	}
	return s.checkDocuments()
}

// checkEvent checks what one event demands, and notes what it does to documents.
func (s *State) checkEvent(at Stamp, i int) Result {
	w := &s.work
	e := &w.events[i]
	switch e.Type {
	case event.TypeDecided:
	case event.TypeAccounted:
		return s.checkAccounted(at, i)
	case event.TypeDocumentPut, event.TypeDocumentDeleted:
		c, err := parseChange(e)
		if err != nil {
			unreadable("document event", at, err)
		}
		w.key = appendKey(w.key[:0], c.kind, c.name)
		if _, twice := w.plan.at[string(w.key)]; twice {
			return Result{Code: event.CodeConflict, Detail: fmt.Sprintf("%s is changed twice in one proposal", w.key)}
		}
		if !c.put && !s.exists(w.key) {
			return Result{Code: event.CodeMissing, Detail: fmt.Sprintf("%s does not exist, so it cannot be deleted", w.key)}
		}
		c.key = string(w.key)
		if w.plan.at == nil {
			w.plan.at = make(map[string]int32, len(w.events)-i)
		}
		w.plan.at[c.key] = int32(len(w.plan.changes))
		w.plan.changes = append(w.plan.changes, c)
	case event.TypePasswordSet:
		return s.checkUser(read[*event.PasswordSet](e, at).User)
	case event.TypePasswordRemoved:
		return s.checkUser(read[*event.PasswordRemoved](e, at).User)
	case event.TypeSessionClosed:
		if id := read[*event.SessionClosed](e, at).Session; !s.sessions.Has(idKey(&w.key, id)) {
			return Result{Code: event.CodeMissing, Detail: "session " + event.FormatID(id) + " is not live"}
		}
	case event.TypeConsumed:
		return s.checkConsumed(at, read[*event.Consumed](e, at))
	case event.TypeAPIKeyCreated:
		if id := read[*event.ApiKeyCreated](e, at).Id; s.apiKeys.Has([]byte(id)) {
			return Result{Code: event.CodeConflict, Detail: "API key " + id + " exists already"}
		}
	case event.TypeAPIKeyRevoked:
		if id := read[*event.ApiKeyRevoked](e, at).Id; !s.apiKeys.Has([]byte(id)) {
			return Result{Code: event.CodeMissing, Detail: "API key " + id + " does not exist"}
		}
	case event.TypeClusterKeyAdded, event.TypeClusterFounded, event.TypeJoinTokenMade, event.TypeJoinTokenRevoked, event.TypeNodeJoined, event.TypeNodeChanged, event.TypeNodeRemoved:
		return s.checkCluster(at, e)
	case event.TypeFactorPut:
		return s.checkFactorPut(read[*event.FactorPut](e, at))
	case event.TypeFactorRemoved:
		m := read[*event.FactorRemoved](e, at)
		return s.checkFactor(m.User, m.Id, false, 0)
	case event.TypeFactorUsed:
		m := read[*event.FactorUsed](e, at)
		return s.checkFactor(m.User, m.Id, true, m.Counter)
	case event.TypePushAnswered:
		return s.checkPushAnswered(at, read[*event.PushAnswered](e, at))
	case event.TypeSSOStarted:
		return s.checkSSOStarted(at, read[*event.SsoStarted](e, at))
	case event.TypeSSOUsed:
		return s.checkSSOUsed(at, i, read[*event.SsoUsed](e, at))
	case event.TypeSSOEnded:
		return s.checkSSOEnded(read[*event.SsoEnded](e, at))
	case event.TypeGrantStarted:
		return s.checkGrantStarted(at, read[*event.GrantStarted](e, at))
	case event.TypeGrantRefreshed:
		return s.checkGrantRefreshed(at, read[*event.GrantRefreshed](e, at))
	case event.TypeGrantsEnded:
		return s.checkGrantsEnded(read[*event.GrantsEnded](e, at))
	case event.TypeTokensVoided:
		return s.checkTokensVoided(read[*event.TokensVoided](e, at))
	case event.TypeConsentGiven:
		return s.checkConsentGiven(read[*event.ConsentGiven](e, at))
	case event.TypeConsentRevoked:
		return s.checkConsentRevoked(read[*event.ConsentRevoked](e, at))
	case event.TypeSigningKeysMade:
		return s.checkSigningKeysMade(at, read[*event.SigningKeysMade](e, at))
	case event.TypeDeviceTrusted:
		return s.checkDeviceTrusted(at, read[*event.DeviceTrusted](e, at))
	case event.TypeDeviceDistrusted:
		return s.checkDeviceDistrusted(read[*event.DeviceDistrusted](e, at))
	case event.TypeStaged:
		if piece := read[*event.Staged](e, at).Piece; piece >= maxPieces {
			return Result{Code: event.CodeStage, Detail: fmt.Sprintf("piece %d is past the last possible one, %d", piece, maxPieces-1)}
		}
	case event.TypeStageAbandoned:
		if id := read[*event.StageAbandoned](e, at).Stage; !s.stages.Has(idKey(&w.key, id)) {
			return Result{Code: event.CodeStage, Detail: "stage " + event.FormatID(id) + " is unknown"}
		}
	}
	return Result{}
}

// checkUser checks that the user whose password changes exists, or is made earlier in the same proposal.
func (s *State) checkUser(name string) Result {
	w := &s.work
	w.key = appendKey(w.key[:0], []byte(kindUser), []byte(name))
	if s.existsAfter(w.key) {
		return Result{}
	}
	return Result{Code: event.CodeMissing, Detail: "user " + name + " does not exist"}
}

// checkConsumed checks that a one-shot key is neither used up nor past its term.
func (s *State) checkConsumed(at Stamp, m *event.Consumed) Result {
	p, key := &s.work.plan, m.Key
	if m.NotAfterUnix != 0 && m.NotAfterUnix < at.unix() {
		return Result{Code: event.CodeConflict, Detail: "one-shot key " + key + " is past its term"}
	}
	_, twice := p.consumed[key]
	if twice || s.consumed.Has([]byte(key)) {
		return Result{Code: event.CodeConflict, Detail: "one-shot key " + key + " was consumed before"}
	}
	if p.consumed == nil {
		p.consumed = make(map[string]struct{})
	}
	p.consumed[key] = struct{}{}
	return Result{}
}

// checkExpectation checks one expectation against the state before the proposal, except where its kind says otherwise.
func (s *State) checkExpectation(at Stamp, x *event.ExpectationView) Result {
	key := canonicalKey(x.Key)
	conflict := func(format string, args ...any) Result {
		return Result{Code: event.CodeConflict, Detail: fmt.Sprintf("%s: expected ", key) + fmt.Sprintf(format, args...)}
	}
	switch x.Kind {
	case event.Expectation_ABSENT:
		if s.exists(key) {
			return conflict("that it does not exist, but it does")
		}
	case event.Expectation_EXISTS:
		if !s.exists(key) && !s.existsAfter(key) {
			return conflict("that it exists, but it does not")
		}
	case event.Expectation_VERSION:
		if v := s.version(key); v != x.Value {
			if v == 0 {
				return conflict("version %d, but it does not exist", x.Value)
			}
			if x.Value == 0 {
				return conflict("that it does not exist, but it has version %d", v)
			}
			return conflict("version %d, but it has version %d", x.Value, v)
		}
	case event.Expectation_UNREFERENCED:
		if n := s.references(string(key)); n > 0 {
			return conflict("that nothing refers to it, but %s", counted(n, "document does", "documents do"))
		}
	case event.Expectation_UNCONSUMED:
		if s.consumed.Has(x.Key) {
			return conflict("that it was not consumed, but it was")
		}
	case event.Expectation_SESSIONS_BELOW:
		if s.sessionsBefore(at, x.Key, x.Value) >= x.Value {
			return Result{Code: event.CodeLimit, Detail: fmt.Sprintf("user %s has %d simultaneous sessions or more", x.Key, x.Value)}
		}
	case event.Expectation_CREDENTIAL:
		if v := s.credentialVersion(x.Key); v != x.Value {
			return Result{Code: event.CodeConflict, Detail: fmt.Sprintf("the password of %s was changed meanwhile (expected version %d, but it has %d)", x.Key, x.Value, v)}
		}
	default:
		violated("a known expectation", "kind %d", x.Kind)
	}
	return Result{}
}

// checkDocuments checks that no claim is held twice, no reference dangles and nothing that is referred to is deleted.
func (s *State) checkDocuments() Result {
	p := &s.work.plan
	var bad Result
	for i := range p.changes {
		c := &p.changes[i]
		if !c.put {
			if n := s.references(c.key); n > 0 {
				return Result{
					Code:   event.CodeConflict,
					Detail: fmt.Sprintf("%s cannot be deleted: %s to it", c.key, counted(n, "document refers", "documents refer")),
				}
			}
			continue
		}
		eachPart(c.body, putRefs, func(ref []byte) bool {
			ref = canonicalKey(ref)
			if !s.existsAfter(ref) {
				bad = Result{Code: event.CodeConflict, Detail: fmt.Sprintf("%s refers to %s, which does not exist", c.key, ref)}
			}
			return bad.Code == 0
		})
		if bad.Code != 0 {
			return bad
		}
		eachPart(c.body, putClaims, func(claim []byte) bool {
			if holder := s.otherHolder(claim, int32(i)); holder != "" {
				bad = Result{Code: event.CodeConflict, Detail: fmt.Sprintf("%s claims %s, which %s holds", c.key, claim, holder)}
			}
			return bad.Code == 0
		})
		if bad.Code != 0 {
			return bad
		}
	}
	return Result{}
}

// otherHolder returns the key of the document, other than that of change i, that holds the claim after this proposal; it is empty
// if there is none.
func (s *State) otherHolder(claim []byte, i int32) string {
	p := &s.work.plan
	if j, ok := p.claims[string(claim)]; ok && j != i {
		return p.changes[j].key
	}
	if p.claims == nil {
		p.claims = make(map[string]int32, len(p.changes))
	}
	p.claims[string(claim)] = i
	value, _, ok := s.claims.Peek(claim)
	if !ok {
		return ""
	}
	s.work.key = s.appendOwner(s.work.key[:0], value)
	if string(s.work.key) == p.changes[i].key {
		return ""
	}
	// A holder that this proposal deletes or rewrites either gives the claim up or meets the check above.
	if _, changed := p.at[string(s.work.key)]; changed {
		return ""
	}
	return string(s.work.key)
}

// references returns how many references to a document there are after this proposal.
func (s *State) references(key string) int {
	p := &s.work.plan
	if !p.counted {
		p.counted = true
		p.delta = make(map[string]int)
		for i := range p.changes {
			c := &p.changes[i]
			s.eachReference(c.key, func(ref []byte) { p.delta[string(ref)]-- })
			if c.put {
				eachPart(c.body, putRefs, func(ref []byte) bool {
					p.delta[string(canonicalKey(ref))]++
					return true
				})
			}
		}
	}
	return int(s.referenceCount([]byte(key))) + p.delta[key]
}

// existsAfter reports whether a document exists after the events that the plan has so far.
func (s *State) existsAfter(key []byte) bool {
	if i, changed := s.work.plan.at[string(key)]; changed {
		return s.work.plan.changes[i].put
	}
	return s.exists(key)
}

// The fields of DocumentPut that are lists.
const (
	putRefs   = 5
	putClaims = 6
)

// parseChange reads a DocumentPut or DocumentDeleted without copying.
func parseChange(e *event.Envelope) (docChange, error) {
	c := docChange{put: e.Type == event.TypeDocumentPut, body: e.Body}
	for b := e.Body; len(b) > 0; {
		f, rest, ok := field.Next(b)
		known := 4
		if c.put {
			known = 8
		}
		if !ok || int(f.Num) > known {
			return c, fmt.Errorf("read %s: %w", e.Type, event.ErrFormat)
		}
		b = rest
		switch {
		case f.Num == 1:
			c.kind = f.Data
		case f.Num == 2:
			c.name = f.Data
		case f.Num == 4 && c.put:
			c.spec = f.Data
		case f.Num == 7, f.Num == 3 && !c.put:
			c.by = f.Data
		}
	}
	return c, nil
}

// eachPart calls visit for each element of a repeated field of an encoded message, until it returns false.
func eachPart(body []byte, num int, visit func(data []byte) bool) {
	for len(body) > 0 {
		f, rest, ok := field.Next(body)
		if !ok {
			return
		}
		body = rest
		if int(f.Num) == num && !visit(f.Data) {
			return
		}
	}
}

// The kinds of documents that have tables of their own.
const (
	kindUser     = "User"
	kindAccount  = "Account"
	kindEndpoint = "Endpoint"
)

// The kinds of documents that have rows in other tables, which go with them.
const (
	kindServiceProvider  = "ServiceProvider"
	kindIdentityProvider = "IdentityProvider"
)

var userPrefix = []byte(kindUser + "/")

// appendKey appends "Kind/name", the name in its canonical form (event.CanonicalName).
func appendKey(dst, kind, name []byte) []byte {
	dst = append(dst, kind...)
	dst = append(dst, '/')
	switch string(kind) {
	case kindUser:
		return appendFolded(dst, name)
	case kindEndpoint:
		if mac, ok := event.ParseMAC(name); ok {
			return mac.AppendText(dst)
		}
	}
	return append(dst, name...)
}

// canonicalKey returns "Kind/name" with the name in its canonical form.
func canonicalKey(key []byte) []byte {
	kind, name, _ := bytes.Cut(key, []byte("/"))
	switch string(kind) {
	case kindUser:
		if isFolded(name) {
			return key
		}
	case kindEndpoint:
	default:
		return key
	}
	return appendKey(nil, kind, name)
}

// isFolded reports whether folding leaves the name as it is, for all it can tell at once.
func isFolded(name []byte) bool {
	for _, c := range name {
		if c >= 0x80 || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// appendFolded appends event.FoldName of name. It allocates only for names that are not ASCII.
func appendFolded[T ~string | ~[]byte](dst []byte, name T) []byte {
	start := len(dst)
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c >= 0x80 {
			return append(dst[:start], event.FoldName(string(name))...)
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func counted(n int, one, many string) string {
	var b strings.Builder
	if n == 1 {
		fmt.Fprintf(&b, "1 %s", one)
	} else {
		fmt.Fprintf(&b, "%d %s", n, many)
	}
	return b.String()
}
