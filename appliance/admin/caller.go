package admin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"trine/engine/event"
)

// The scopes of API keys. A scope "documents:KIND" reads and changes the documents of one kind.
const (
	ScopeAll       = "*"          // everything
	ScopeRead      = "read"       // read documents, history, sessions, events, explanations, jobs and status
	ScopeWrite     = "write"      // read and change documents of every kind
	ScopeUsers     = "users"      // read and change users, import them, set their passwords
	ScopeSessions  = "sessions"   // read and end network sessions
	ScopeEvents    = "events"     // read events and explanations
	ScopeSimulate  = "simulate"   // try out logins: learn what anybody's login gets, and whether a password is right
	ScopeKeys      = "apikeys"    // make, list and revoke API keys
	ScopeMetrics   = "metrics"    // read /metrics
	ScopeBackup    = "backup"     // read everything, secrets included, as an encrypted archive
	ScopeCluster   = "cluster"    // let nodes join the cluster, give them their roles and take them out; who lets nodes join can learn everything
	scopeDocuments = "documents:" // the prefix of scopes of one kind
)

// scopeNames lists the scopes that stand alone, for messages.
var scopeNames = [...]string{ScopeAll, ScopeRead, ScopeWrite, ScopeUsers, ScopeSessions, ScopeEvents, ScopeSimulate, ScopeKeys, ScopeMetrics, ScopeBackup, ScopeCluster}

// Caller is who makes a request, and what he may do.
type Caller struct {
	// By names the caller in events: "local:root" for a person on the socket, "apikey:ID" for a key.
	By     string
	scopes []string
	key    string    // id of his API key; empty on the socket
	until  time.Time // when the key expires; zero: never
}

// has reports whether the caller holds one of the scopes, or all of them by "*".
func (c *Caller) has(anyOf ...string) bool {
	for _, s := range c.scopes {
		if s == ScopeAll || slices.Contains(anyOf, s) {
			return true
		}
	}
	return false
}

// mayWrite reports whether the caller may change documents of a kind.
func (c *Caller) mayWrite(kind string) bool {
	return c.has(ScopeWrite, scopeDocuments+kind) || kind == "User" && c.has(ScopeUsers)
}

// mayRead reports whether the caller may read documents of a kind.
func (c *Caller) mayRead(kind string) bool { return c.has(ScopeRead) || c.mayWrite(kind) }

// grants reports whether the caller holds everything that a scope allows, so that he may hand it on.
func (c *Caller) grants(scope string) bool {
	switch {
	case c.has(scope):
		return true
	case strings.HasPrefix(scope, scopeDocuments):
		return c.mayWrite(strings.TrimPrefix(scope, scopeDocuments))
	case scope == ScopeEvents:
		return c.has(ScopeRead)
	}
	return false
}

// checkScope returns the scope in its canonical form, or an error that names what there is.
func checkScope(scope string, kinds []string) (string, error) {
	scope = strings.TrimSpace(scope)
	if slices.Contains(scopeNames[:], scope) {
		return scope, nil
	}
	if kind, ok := strings.CutPrefix(scope, scopeDocuments); ok {
		for _, k := range kinds {
			if strings.EqualFold(k, kind) {
				return scopeDocuments + k, nil
			}
		}
		return "", fmt.Errorf("scope %q names no kind; kinds are %s", scope, strings.Join(kinds, ", "))
	}
	return "", fmt.Errorf("there is no scope %q; scopes are %s and %sKIND", scope, strings.Join(scopeNames[:], ", "), scopeDocuments)
}

// documentKey names a document in expectations and streams: "Kind/name", the name in its canonical form.
func documentKey(kind, name string) string { return event.Key(kind, name) }
