package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"trine/engine"
	"trine/engine/policy"
	"trine/engine/state"
)

// logoutPage asks whether a person wants to log out, or says that he has.
type logoutPage struct {
	Flow, Do, User, Client string
	Frames                 []string
	Redirect               string
	Failed                 bool
}

// Logout ends the session of the browser, and tells every service provider of it. The person is asked first where the request could be somebody else's.
func (f *Front) Logout(x *Exchange, l *Logout) {
	if x.Issuer.SSO == nil {
		f.message(x, http.StatusServiceUnavailable, "error.unavailable", 0)
		return
	}
	locale := f.pages.locale(l.Locales, x.R.Header.Get("Accept-Language"))
	s, ok := f.config.Engine.Session(x.SessionID())
	if !ok || s.Scope != x.Issuer.SSO.Scope {
		f.endSession(x) // it has ended elsewhere, or by time
		f.goodbye(x, locale, l.Redirect, nil)
		return
	}
	if !l.Confirm && (l.Of == nil || l.Of(&s)) {
		f.logOut(x, locale, &s, l.Redirect)
		return
	}
	w := &flow{
		Protocol: "logout", Issuer: x.Issuer.Name, Locale: locale, Redirect: l.Redirect, Session: s.Number, Browser: x.browserHash(), NotAfter: f.clock().Add(flowLife).Unix(),
	}
	text, err := f.seal(w)
	if err != nil {
		f.message(x, http.StatusInternalServerError, "error.internal", 0)
		return
	}
	p := &logoutPage{Flow: text, Do: x.Issuer.Site.Prefix + loginPath + "/logout", User: s.User}
	if l.Client != nil {
		p.Client = clientName(l.Client)
	}
	f.show(x, "logout", locale, 0, &page{Title: "title.logout", Body: p})
}

// answerLogout answers the page that asks whether a person wants to log out.
func (f *Front) answerLogout(x *Exchange) {
	if x.R.Method != http.MethodPost {
		f.redirect(x, protectedPath)
		return
	}
	w, form, ok := f.goesOn(x)
	if !ok {
		return
	}
	if w.Protocol != "logout" {
		f.flowRefused(x, errFlow)
		return
	}
	if form.Get("do") == "cancel" {
		f.redirect(x, protectedPath)
		return
	}
	s, live := f.config.Engine.Session(x.SessionID())
	if !live {
		f.endSession(x)
	}
	if !live || s.Number != w.Session {
		f.goodbye(x, w.Locale, w.Redirect, nil)
		return
	}
	f.logOut(x, w.Locale, &s, w.Redirect)
}

// logOut ends a session. The browser's cookie goes whatever happens; where the end cannot be recorded the page says so.
func (f *Front) logOut(x *Exchange, locale string, s *state.SSO, redirect string) {
	ctx, cancel := context.WithTimeout(x.R.Context(), roundTime)
	defer cancel()
	frames := f.frames(x.Cache, s)
	err := f.config.Engine.EndSessions(ctx, s.User, []uint64{s.Number}, "")
	f.endSession(x)
	f.stats.logouts.Add(1)
	if err != nil && !isNoSession(err) {
		f.logger.Warn("a logout could not be recorded", "session", s.Number, "error", err)
		f.show(x, "loggedout", locale, http.StatusServiceUnavailable, &page{Title: "title.loggedout", Body: &logoutPage{Failed: true}})
		return
	}
	f.goodbye(x, locale, redirect, frames)
}

// goodbye is the end of a logout: frames for the service providers that need one, and then where the browser is to go.
func (f *Front) goodbye(x *Exchange, locale, redirect string, frames []string) {
	if redirect != "" && len(frames) == 0 {
		noStore(x.W.Header())
		x.W.Header().Set("Location", redirect)
		x.W.WriteHeader(http.StatusSeeOther)
		return
	}
	var origins []string
	for _, frame := range frames {
		if u, err := url.Parse(frame); err == nil && !slices.Contains(origins, u.Scheme+"://"+u.Host) {
			origins = append(origins, u.Scheme+"://"+u.Host)
		}
	}
	var also []string
	if len(origins) > 0 {
		also = append(also, "frame-src "+strings.Join(origins, " "))
	}
	p := &page{Title: "title.loggedout", Body: &logoutPage{Frames: frames, Redirect: redirect}}
	if redirect != "" {
		p.Refresh = redirect
	}
	f.show(x, "loggedout", locale, 0, p, also...)
}

// maxFrames bounds the frames of a page; a browser with more service providers than that tells the rest by their back channels.
const maxFrames = 50

// frames returns the URLs that a browser loads so that the service providers of a session learn of its end.
func (f *Front) frames(c *policy.Cache, s *state.SSO) (list []string) {
	for i := range s.Visits {
		v := &s.Visits[i]
		p := f.protocols[v.Protocol]
		if p == nil {
			continue
		}
		frame, _ := p.LoggedOut(c, s, v)
		if u, err := url.Parse(frame); frame == "" || err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.ContainsAny(u.Host, "; '\"*") {
			continue
		}
		if len(list) < maxFrames && !slices.Contains(list, frame) {
			list = append(list, frame)
		}
	}
	return list
}

// Ended tells the service providers of sessions that they have ended, by calls in the background. It returns at once.
func (f *Front) Ended(sessions []state.SSO) {
	cache := f.config.Policies.Load()
	for i := range sessions {
		s := &sessions[i]
		for j := range s.Visits {
			v := &s.Visits[j]
			p := f.protocols[v.Protocol]
			if p == nil {
				continue
			}
			if _, call := p.LoggedOut(cache, s, v); call != nil {
				f.calls.submit(v.Client, call)
			}
		}
	}
}

func isNoSession(err error) bool { return errors.Is(err, engine.ErrNoSession) }

// callers make calls to service providers in the background: a bounded number at a time, each for a bounded time.
type callers struct {
	front  *Front
	queue  chan callOut
	limit  time.Duration
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	mu     sync.Mutex
	closed bool
}

type callOut struct {
	client string
	call   func(context.Context) error
}

// maxCalls bounds the calls that wait.
const maxCalls = 10_000

func newCallers(f *Front, parallel int, limit time.Duration) *callers {
	c := &callers{front: f, queue: make(chan callOut, maxCalls), limit: limit}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for range parallel {
		c.work.Go(c.run)
	}
	return c
}

func (c *callers) submit(client string, call func(context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		c.front.stats.callsDropped.Add(1)
		return
	}
	select {
	case c.queue <- callOut{client, call}:
		c.front.stats.callsWaiting.Add(1)
	default:
		c.front.stats.callsDropped.Add(1)
	}
}

func (c *callers) run() {
	for out := range c.queue {
		ctx, cancel := context.WithTimeout(c.ctx, c.limit)
		err := out.call(ctx)
		cancel()
		c.front.stats.callsWaiting.Add(-1)
		if err != nil {
			c.front.stats.callsFailed.Add(1)
			c.front.logger.Warn("a service provider could not be told of a logout", "client", out.client, "error", err)
			continue
		}
		c.front.stats.callsDone.Add(1)
	}
}

// close makes the calls that wait, until ctx ends.
func (c *callers) close(ctx context.Context) {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.queue)
	}
	c.mu.Unlock()
	stop := context.AfterFunc(ctx, c.cancel)
	c.work.Wait()
	stop()
	c.cancel()
}
