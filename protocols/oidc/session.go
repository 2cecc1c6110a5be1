package oidc

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"

	"trine/protocols/web"
)

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

// watchCookie is what the page of session management compares (OpenID Connect Session Management 1.0 section 4). It follows from the session and is no secret: scripts of
// that page read it.
const watchCookie = "__Host-trine-watch"

// browserState is what the browser shows of a session to the page of session management.
func (p *Provider) browserState(session uint64) string {
	if session == 0 {
		return "none"
	}
	return pairwise(p.pairwiseKey(), "watch", session)[:22]
}

// SessionGone implements web.Watcher: the page of session management says from now on that the session is another.
func (p *Provider) SessionGone(x *web.Exchange) {
	http.SetCookie(x.W, &http.Cookie{Name: watchCookie, Path: "/", MaxAge: -1, Secure: true, SameSite: http.SameSiteNoneMode})
}

// sessionState returns the session_state of a response, and has the browser keep what it is compared with. A response without a session leaves that of the browser as it is, unless the
// browser shows a session that is over: within a frame of another site it sends no cookie of its session.
func (p *Provider) sessionState(x *web.Exchange, clientID, redirectURI string, session uint64) string {
	state := p.browserState(session)
	if kept, err := x.R.Cookie(watchCookie); err != nil || kept.Value != state {
		if session != 0 {
			http.SetCookie(x.W, &http.Cookie{Name: watchCookie, Value: state, Path: "/", Secure: true, SameSite: http.SameSiteNoneMode})
		} else if err == nil {
			if id := x.SessionID(); id == "" || p.lives(x, id) {
				state = kept.Value
			} else {
				p.SessionGone(x)
			}
		}
	}
	var salt [9]byte
	rand.Read(salt[:])
	text := base64.RawURLEncoding.EncodeToString(salt[:])
	return sessionHash(clientID, originOf(redirectURI), state, text) + "." + text
}

// lives reports whether a session counts at the identity provider of a request.
func (p *Provider) lives(x *web.Exchange, id string) bool {
	s, ok := p.engine.Session(id)
	return ok && x.Issuer.SSO != nil && s.Scope == x.Issuer.SSO.Scope
}

func sessionHash(clientID, origin, state, salt string) string {
	sum := sha256.Sum256([]byte(clientID + " " + origin + " " + state + " " + salt))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// watchScript answers what a client asks whether its session is as it was (OpenID Connect Session Management 1.0 section 3.2). Its hash is in the policy of the page.
const watchScript = `"use strict";
addEventListener("message", async (e) => {
  const reply = (text) => e.source.postMessage(text, e.origin);
  if (typeof e.data !== "string" || !e.source) return;
  const at = e.data.lastIndexOf(" ");
  const [hash, salt] = e.data.slice(at + 1).split(".");
  const client = e.data.slice(0, at);
  if (at < 1 || !hash || !salt) return reply("error");
  const kept = document.cookie.split("; ").find((c) => c.startsWith("` + watchCookie + `="));
  const state = kept ? kept.slice(kept.indexOf("=") + 1) : "none";
  const sum = await crypto.subtle.digest("SHA-256", new TextEncoder().encode([client, e.origin, state, salt].join(" ")));
  const text = btoa(String.fromCharCode(...new Uint8Array(sum))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  reply(text === hash ? "unchanged" : "changed");
});
`

// checkSession is the page of session management. Clients load it in a frame, so it is the one page that may be framed.
func (p *Provider) checkSession(x *web.Exchange) {
	if x.R.Method != http.MethodGet && x.R.Method != http.MethodHead {
		x.W.Header().Set("Allow", "GET")
		x.W.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	h := x.W.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src '"+watchScriptHash+"'; base-uri 'none'; frame-ancestors *")
	h.Del("X-Frame-Options")
	h.Del("Cross-Origin-Resource-Policy")
	h.Del("Cross-Origin-Embedder-Policy")
	h.Del("Cross-Origin-Opener-Policy")
	h.Set("Cache-Control", "public, max-age=3600")
	h["X-Content-Type-Options"] = nosniff
	_, _ = x.W.Write([]byte(watchPage))
}

var (
	watchScriptHash = hashOf(watchScript)
	watchPage       = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Session</title></head><body><script>" + watchScript + "</script></body></html>\n"
)

// hashOf returns the hash of a script as a content security policy has it.
func hashOf(script string) string {
	sum := sha256.Sum256([]byte(script))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
