package demo

import (
	"crypto/rand"
	"net/http"
	"sync"
	"time"
)

// The bounds on what is remembered: this is a demonstration, not a service.
const (
	maxVisitors = 1000
	maxAttempts = 8
	maxNews     = 20
)

// visitor is one browser.
type visitor struct {
	id       string
	attempts []*attempt // oldest first
	session  *session   // nil: not signed in
	news     []news     // newest first
}

// attempt is a login under way.
type attempt struct{ state, nonce, verifier string }

// session is a person who has signed in.
type session struct {
	sid, subject  string
	since         time.Time
	idToken       string
	accessToken   string
	refreshToken  string
	expires       time.Time
	claims        []byte // of the ID token, JSON
	userinfo      []byte // JSON; nil where it was refused
	introspection []byte // JSON; nil where nobody was asked
}

// news is something that happened to a visitor's session.
type news struct {
	At   time.Time
	Text string
}

// visitors are all browsers. Sessions are replaced whole and never changed, so that a page may be rendered without the lock.
type visitors struct {
	mu    sync.Mutex
	byID  map[string]*visitor
	order []string             // oldest first
	seen  map[string]time.Time // logout tokens by jti, until they expire
}

func newVisitors() *visitors {
	return &visitors{byID: make(map[string]*visitor), seen: make(map[string]time.Time)}
}

// of returns the visitor whom a cookie names, or gives him one.
func (v *visitors) of(w http.ResponseWriter, r *http.Request, cookie string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c, err := r.Cookie(cookie); err == nil && v.byID[c.Value] != nil {
		return c.Value
	}
	for len(v.order) >= maxVisitors {
		delete(v.byID, v.order[0])
		v.order = v.order[1:]
	}
	id := rand.Text()
	v.byID[id] = &visitor{id: id}
	v.order = append(v.order, id)
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return id
}

// change runs f on a visitor, if there still is one.
func (v *visitors) change(id string, f func(*visitor)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if p := v.byID[id]; p != nil {
		f(p)
	}
}

// look returns a visitor's session and news.
func (v *visitors) look(id string) (s *session, n []news) {
	v.change(id, func(p *visitor) { s, n = p.session, append(n, p.news...) })
	return s, n
}

// begin remembers a login under way.
func (v *visitors) begin(id string, a *attempt) {
	v.change(id, func(p *visitor) {
		if p.attempts = append(p.attempts, a); len(p.attempts) > maxAttempts {
			p.attempts = p.attempts[1:]
		}
	})
}

// attempt takes the login under way that a state belongs to; nil where this browser began none such, or ended it.
func (v *visitors) attempt(id, state string) (found *attempt) {
	v.change(id, func(p *visitor) {
		for i, a := range p.attempts {
			if a.state == state {
				found, p.attempts = a, append(p.attempts[:i:i], p.attempts[i+1:]...)
				return
			}
		}
	})
	return found
}

// sign sets a visitor's session, or ends it (nil), and says why.
func (v *visitors) sign(id string, s *session, why string) {
	v.change(id, func(p *visitor) { p.session = s; p.tell(why) })
}

// end ends the sessions that the provider means: by its own id where it sent one, otherwise all of a subject. It returns how many there were.
func (v *visitors) end(sid, subject, why string) (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range v.byID {
		if s := p.session; s != nil && (sid != "" && s.sid == sid || sid == "" && subject != "" && s.subject == subject) {
			p.session = nil
			p.tell(why)
			n++
		}
	}
	return n
}

// fresh reports whether a logout token was not seen before, and remembers it.
func (v *visitors) fresh(jti string, until time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	for id, t := range v.seen {
		if t.Before(now) {
			delete(v.seen, id)
		}
	}
	if _, known := v.seen[jti]; known {
		return false
	}
	v.seen[jti] = until
	return true
}

func (p *visitor) tell(text string) {
	p.news = append([]news{{time.Now(), text}}, p.news...)
	if len(p.news) > maxNews {
		p.news = p.news[:maxNews]
	}
}
