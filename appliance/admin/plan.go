package admin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strings"

	"trine/appliance/admin/api"
	"trine/engine/document"
	"trine/engine/policy"
	"trine/engine/secret"
)

// wish is what a request wants to be in force: documents as they are to be, and documents that are to go.
type wish struct {
	documents []*document.Document
	deletes   []deletion
	fresh     bool // none of the documents may exist yet
	comment   string
}

// deletion names a document that is to go; version 0 deletes whatever is there.
type deletion struct {
	kind, name string
	version    uint64
}

// step is what a plan does to one document.
type step struct {
	action   api.Action
	kind     string
	name     string
	version  uint64             // in force now, 0 if none
	result   uint64             // afterwards, 0 if none
	before   *document.Document // nil if there is none
	after    *document.Document // nil if it goes; secrets sealed, its password taken out
	changes  []document.Change
	writes   bool        // the document itself changes, not only its password
	password []byte      // to be set; nil: unchanged
	given    secret.Text // the same, as it came
	isHash   bool        // the password is the hash of one, which another system made
	must     bool        // the user has to change it
}

// plan is a checked wish.
type plan struct {
	steps    []step
	warnings document.Problems
	comment  string
	types    map[string]*document.UserType // user types that the plan writes
	cache    *policy.Cache                 // what would decide; nil if nothing changes
}

// refusal makes a problem of what is wrong with documents.
func refusal(problems document.Problems) *api.Problem {
	p := api.NewProblem(http.StatusUnprocessableEntity, api.ReasonInvalid, "%s; nothing was changed", countedProblems(len(problems)))
	return p.With(findings(problems)...)
}

func countedProblems(n int) string {
	if n == 1 {
		return "1 thing is wrong with the documents"
	}
	return itoa(n) + " things are wrong with the documents"
}

// findings converts problems to what the API shows.
func findings(problems document.Problems) []api.Finding {
	out := make([]api.Finding, 0, len(problems))
	for _, p := range problems {
		out = append(out, api.Finding(p))
	}
	return out
}

// plan checks a wish against what is in force, and says document by document what it changes. Its errors are problems that name
// document and field.
func (s *Server) plan(ctx context.Context, caller *Caller, w wish) (*plan, error) {
	if err := permitted(caller, &w); err != nil {
		return nil, err
	}
	return s.draft(ctx, w)
}

// draft is plan for a wish that is not to be put in force, which everybody may have.
func (s *Server) draft(ctx context.Context, w wish) (*plan, error) {
	p := &plan{comment: w.comment}
	var problems, conflicts document.Problems
	if err := s.planBrought(&w); err != nil {
		return nil, err
	}
	for _, d := range w.documents {
		st, err := s.planPut(ctx, d, &problems, &conflicts)
		if err != nil {
			return nil, err
		}
		if w.fresh && st.before != nil {
			conflicts = append(conflicts, at(d, "version", fmt.Sprintf("it exists by now, at version %d", st.version)))
		}
		p.steps = append(p.steps, st)
		p.warnings = append(p.warnings, d.Warnings()...)
	}
	for _, del := range w.deletes {
		st, err := s.planDelete(del, &conflicts)
		if err != nil {
			return nil, err
		}
		p.steps = append(p.steps, st)
	}
	if err := s.planOwned(p, &w); err != nil {
		return nil, err
	}
	if len(conflicts) > 0 {
		c := api.NewProblem(http.StatusConflict, api.ReasonConflict, "documents were changed in between; nothing was changed; look at what is in force and try again")
		return nil, c.With(findings(conflicts)...)
	}
	if len(problems) > 0 {
		return nil, refusal(problems)
	}
	if err := s.check(p, &w); err != nil {
		return nil, err
	}
	return p, nil
}

// permitted reports what the caller may not change, all of it at once.
func permitted(caller *Caller, w *wish) error {
	denied := map[string]bool{}
	for _, d := range w.documents {
		denied[d.Kind] = !caller.mayWrite(d.Kind)
	}
	for _, d := range w.deletes {
		denied[d.kind] = !caller.mayWrite(d.kind)
	}
	var found []api.Finding
	for _, k := range document.Kinds() {
		if denied[k.Name] {
			found = append(found, api.Finding{Kind: k.Name, Reason: "it takes scope " + ScopeWrite + " or " + scopeDocuments + k.Name})
		}
	}
	if len(found) == 0 {
		return nil
	}
	return api.NewProblem(http.StatusForbidden, api.ReasonForbidden, "%s may not change documents of these kinds", caller.By).With(found...)
}

// planPut compares a document with the one in force. It seals the document's secrets and takes its password out.
func (s *Server) planPut(ctx context.Context, d *document.Document, problems, conflicts *document.Problems) (step, error) {
	old, stored, err := s.read(d.Kind, d.Name)
	if err != nil {
		return step{}, err
	}
	st := step{action: api.Create, kind: d.Kind, name: d.Name, version: stored.Version, before: old, after: d}
	if old != nil {
		st.action, st.name = api.Update, stored.Name
	}
	if d.Version != 0 && d.Version != stored.Version {
		*conflicts = append(*conflicts, at(d, "version", versionReason(d.Version, stored.Version)))
		return st, nil
	}
	wrong := d.Inherit(old)
	*problems = append(*problems, wrong...)
	if len(wrong) > 0 {
		return st, nil
	}
	if err := s.takePassword(ctx, d, &st); err != nil {
		return step{}, err
	}
	if err := s.seal(d, old); err != nil {
		return step{}, err
	}
	st.changes = document.Diff(old, d)
	st.writes = old == nil || len(st.changes) > 0
	if st.password != nil {
		st.changes = append(st.changes, document.Change{Path: st.passwordField(), New: "(changed)"})
	}
	st.result = stored.Version
	switch {
	case old == nil:
		st.result = s.cfg.State.LastVersion(d.Kind, d.Name) + 1
	case st.writes:
		st.result++
	case st.password == nil:
		st.action = api.Unchanged
	}
	return st, nil
}

// versionReason says why an expected version does not hold.
func versionReason(expected, found uint64) string {
	if found == 0 {
		return fmt.Sprintf("version %d is expected, and there is no such document", expected)
	}
	return fmt.Sprintf("version %d is expected, and version %d is in force", expected, found)
}

// at makes a problem of a field of a document.
func at(d *document.Document, field, reason string) document.Problem {
	src := d.At(field)
	return document.Problem{File: src.File, Line: src.Line, Column: src.Column, Kind: d.Kind, Name: d.Name, Field: field, Reason: reason}
}

// passwordField returns the field that a step's password came in.
func (st *step) passwordField() string {
	if st.isHash {
		return "spec.passwordHash"
	}
	return "spec.password"
}

// takePassword takes a user's clear password, or the hash of one, out of the document and into the step, unless it is the one that is stored.
func (s *Server) takePassword(ctx context.Context, d *document.Document, st *step) error {
	u, ok := d.Spec.(*document.User)
	if !ok {
		return nil
	}
	given, must, isHash := u.Password, u.PasswordMustChange, u.Password.IsZero()
	if isHash {
		given = u.PasswordHash
	}
	u.Password, u.PasswordHash, u.PasswordMustChange = secret.Text{}, secret.Text{}, false
	if !given.IsPlain() {
		return nil
	}
	password, err := given.Open(nil, nil, nil)
	if err != nil {
		return fmt.Errorf("read the password of %s: %w", d.Key(), err)
	}
	stored, has := s.cfg.State.Password(d.Name)
	if has && st.before != nil {
		var same bool
		if isHash {
			same, err = s.isImport(stored, string(password), u)
		} else {
			same, err = s.cfg.Passwords.Verify(ctx, stored, password)
		}
		if err != nil {
			return api.NewProblem(http.StatusServiceUnavailable, api.ReasonPasswordFailed, "the password of %s could not be compared with the stored one: %v", d.Key(), err)
		}
		if same && stored.MustChange == must {
			clear(password)
			return nil
		}
	}
	st.password, st.given, st.must, st.isHash = password, given, must, isHash
	return nil
}

// isImport reports whether a user's password in force is an import of this very hash, which no login has replaced yet.
func (s *Server) isImport(stored StoredPassword, hash string, u *document.User) (bool, error) {
	t, err := s.userType(u.UserType, nil)
	if err != nil {
		return false, err
	}
	return s.cfg.Passwords.Imported(stored, hash, t), nil
}

// seal seals the secrets of a document that came in as clear text. One that is equal to a secret in force is replaced by that,
// so that the same document applied twice changes nothing.
func (s *Server) seal(d, old *document.Document) error {
	if _, ok := d.Spec.(*document.User); ok {
		return nil
	}
	present := map[string]secret.Text{}
	var errs []error
	if old != nil {
		old.EachSecret(func(_ string, t *secret.Text) {
			// A secret in force that does not open is replaced by whatever comes.
			if open, err := t.Open(nil, s.cfg.Keyring, old.SecretContext()); err == nil {
				present[string(open)] = *t
				clear(open)
			}
		})
	}
	d.EachSecret(func(path string, t *secret.Text) {
		if !t.IsPlain() {
			return
		}
		open, err := t.Open(nil, nil, nil)
		if err == nil {
			if same, ok := present[string(open)]; ok {
				*t = same
				return
			}
			*t, err = t.Seal(s.cfg.Keyring, d.SecretContext())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("seal %s of %s: %w", path, d.Key(), err))
		}
	})
	return errors.Join(errs...)
}

func (s *Server) planDelete(del deletion, conflicts *document.Problems) (step, error) {
	old, stored, err := s.read(del.kind, del.name)
	if err != nil {
		return step{}, err
	}
	if old == nil {
		return step{}, missing(del.kind, del.name)
	}
	if del.version != 0 && del.version != stored.Version {
		*conflicts = append(*conflicts, document.Problem{Kind: del.kind, Name: stored.Name, Field: "version", Reason: versionReason(del.version, stored.Version)})
	}
	return step{action: api.Delete, kind: del.kind, name: stored.Name, version: stored.Version, before: old, changes: document.Diff(old, nil), writes: true}, nil
}

// planBrought adds what is created with a document, where it is not there and the wish says nothing of it. It is the creation that brings it: what was deleted
// since stays deleted when the document is changed. Who may create a document may create what comes with it.
func (s *Server) planBrought(w *wish) error {
	settled := map[string]bool{}
	for _, d := range w.documents {
		settled[d.Key()] = true
	}
	for _, d := range w.deletes {
		settled[documentKey(d.kind, d.name)] = true
	}
	for _, d := range slices.Clip(w.documents) {
		brought := d.Brings()
		if len(brought) == 0 {
			continue
		}
		old, _, err := s.read(d.Kind, d.Name)
		if err != nil {
			return err
		}
		if old != nil {
			for _, b := range old.Brings() {
				settled[b.Key()] = true
			}
		}
		for _, b := range brought {
			if settled[b.Key()] {
				continue
			}
			settled[b.Key()] = true
			present, _, err := s.read(b.Kind, b.Name)
			if err != nil {
				return err
			}
			if present == nil {
				w.documents = append(w.documents, b)
			}
		}
	}
	return nil
}

// planOwned has what belongs to users who are deleted go with them, unless the wish says what becomes of it. Who may delete a user may
// delete what is his.
func (s *Server) planOwned(p *plan, w *wish) error {
	if !slices.ContainsFunc(w.deletes, func(d deletion) bool { return d.kind == document.KindUser }) {
		return nil
	}
	settled := map[string]bool{}
	for i := range p.steps {
		settled[documentKey(p.steps[i].kind, p.steps[i].name)] = true
	}
	for _, del := range w.deletes {
		if del.kind != document.KindUser {
			continue
		}
		for _, key := range s.cfg.State.Owned(del.name) {
			if settled[key] {
				continue
			}
			settled[key] = true
			kind, name, _ := strings.Cut(key, "/")
			st, err := s.planDelete(deletion{kind: kind, name: name}, nil)
			if err != nil {
				return err
			}
			p.steps = append(p.steps, st)
		}
	}
	return nil
}

// check holds the whole plan against what is in force: references, claims, circles, and whether the policy cache could be
// compiled with it. Passwords are checked against their policy here too.
func (s *Server) check(p *plan, w *wish) error {
	var changed []*document.Document
	var deleted []string
	p.types = map[string]*document.UserType{}
	for i := range p.steps {
		switch st := &p.steps[i]; st.action {
		case api.Create, api.Update:
			changed = append(changed, st.after)
			if t, ok := specOf[*document.UserType](st.after); ok {
				p.types[st.name] = t
			}
		case api.Delete:
			deleted = append(deleted, documentKey(st.kind, st.name))
		case api.Unchanged:
		}
	}
	look := &lookup{server: s}
	p.lendPasswords(true) // for their policy
	problems := document.ValidateAll(w.documents, deleted, look)
	p.lendPasswords(false)
	if look.err != nil {
		return look.err
	}
	if len(problems) > 0 {
		return refusal(problems)
	}
	if len(changed)+len(deleted) == 0 {
		return nil
	}
	draft := s.cfg.Policy.Draft(changed, deleted)
	p.warnings, p.cache = append(p.warnings, draft.Warnings...), draft.Cache
	if len(draft.Problems) > 0 {
		return refusal(draft.Problems)
	}
	return nil
}

// lendPasswords puts new passwords back into their documents, or takes them out again.
func (p *plan) lendPasswords(lend bool) {
	for i := range p.steps {
		st := &p.steps[i]
		u, ok := specOf[*document.User](st.after)
		if !ok {
			continue
		}
		u.Password, u.PasswordHash, u.PasswordMustChange = secret.Text{}, secret.Text{}, false
		if !lend || st.password == nil {
			continue
		}
		u.PasswordMustChange = st.must
		if st.isHash {
			u.PasswordHash = st.given
		} else {
			u.Password = st.given
		}
	}
}

// specOf returns a document's spec if it is of type T.
func specOf[T document.Spec](d *document.Document) (T, bool) {
	var none T
	if d == nil {
		return none, false
	}
	spec, ok := d.Spec.(T)
	return spec, ok
}

// view returns the plan as the API shows it.
func (p *plan) view() api.Plan {
	v := api.Plan{Documents: make([]api.PlannedDocument, 0, len(p.steps)), Warnings: findings(p.warnings), Fingerprint: p.fingerprint()}
	for i := range p.steps {
		st := &p.steps[i]
		switch st.action {
		case api.Create:
			v.Creates++
		case api.Update:
			v.Updates++
		case api.Delete:
			v.Deletes++
		case api.Unchanged:
			v.Unchanged++
		}
		d := api.PlannedDocument{Kind: st.kind, Name: st.name, Action: st.action, Version: st.version, Result: st.result}
		d.Changes = changesView(st.changes)
		v.Documents = append(v.Documents, d)
	}
	return v
}

func changesView(changes []document.Change) []api.Change {
	out := make([]api.Change, 0, len(changes))
	for _, c := range changes {
		out = append(out, api.Change(c))
	}
	return out
}

// fingerprint tells plans apart: by the documents, their versions and what changes. Secrets take part only in that they change.
func (p *plan) fingerprint() string {
	h := sha256.New()
	for i := range p.steps {
		st := &p.steps[i]
		hashText(h, st.kind, st.name, string(st.action))
		hashNumber(h, st.version)
		hashNumber(h, uint64(len(st.changes)))
		for _, c := range st.changes {
			hashText(h, c.Path, c.Old, c.New)
		}
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}

func hashText(h hash.Hash, texts ...string) {
	for _, t := range texts {
		hashNumber(h, uint64(len(t)))
		_, _ = h.Write([]byte(t)) // a hash never fails
	}
}

func hashNumber(h hash.Hash, n uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	_, _ = h.Write(b[:]) // a hash never fails
}
