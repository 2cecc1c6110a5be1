package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"trine/appliance/admin/api"
	"trine/engine/event"
)

// API keys look like trine_ID_SECRET: the id finds the key without a secret, the secret has 256 random bits.
const (
	keyPrefix      = "trine_"
	secretBytes    = 32
	defaultKeyDays = 90
	maxKeys        = 1000
)

// keyAuthenticator finds the caller by the API key in Authorization: Bearer.
type keyAuthenticator struct{ server *Server }

func (a *keyAuthenticator) authenticate(r *http.Request) (Caller, error) {
	given, ok := bearer(r)
	if !ok {
		return Caller{}, api.NewProblem(http.StatusUnauthorized, api.ReasonUnauthorized, "send an API key in Authorization: Bearer")
	}
	key, ok := a.server.checkKey(given)
	if !ok {
		return Caller{}, api.NewProblem(http.StatusUnauthorized, api.ReasonUnauthorized, "the API key is not known here, has expired or was revoked")
	}
	return Caller{By: "apikey:" + key.ID, scopes: key.Scopes, key: key.ID, until: key.Expires}, nil
}

// errKeyOver is the problem of a request that outlived its key.
func errKeyOver() *api.Problem {
	return api.NewProblem(http.StatusUnauthorized, api.ReasonUnauthorized, "the API key has expired or was revoked")
}

// inForce reports whether the caller's key, if he has one, is still good: for requests that go on for long.
func (s *Server) inForce(c *Caller) bool {
	if c.key == "" {
		return true
	}
	_, ok := s.cfg.State.APIKey(c.key)
	return ok && (c.until.IsZero() || s.now().Before(c.until))
}

// bearer returns the token of a Bearer authorization (RFC 6750 section 2.1).
func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

// checkKey returns the key that a secret belongs to, if it is in force. The comparison takes the same time whatever is wrong
// with the secret; that an id exists is no secret.
func (s *Server) checkKey(given string) (APIKey, bool) {
	rest, ok := strings.CutPrefix(given, keyPrefix)
	if !ok {
		return APIKey{}, false
	}
	id, secret, ok := strings.Cut(rest, "_")
	if !ok {
		return APIKey{}, false
	}
	key, ok := s.cfg.State.APIKey(id)
	hash := sha256.Sum256([]byte(secret))
	if !ok || subtle.ConstantTimeCompare(hash[:], key.Hash) != 1 {
		return APIKey{}, false
	}
	if !key.Expires.IsZero() && !s.now().Before(key.Expires) {
		return APIKey{}, false
	}
	return key, true
}

func (s *Server) registerKeys(a huma.API) {
	register(a, operation{id: "listApiKeys", method: http.MethodGet, path: "/apikeys", tag: "API keys", summary: "List API keys", scopes: []string{ScopeKeys}}, s.listKeys)
	register(a, operation{
		id: "createApiKey", method: http.MethodPost, path: "/apikeys", tag: "API keys", summary: "Make an API key", status: http.StatusCreated, scopes: []string{ScopeKeys},
		about: "The answer holds the key, this once: the node keeps only a hash. A caller can give away only what it may do itself, and for no longer than it may itself.",
	}, s.createKey)
	register(a, operation{id: "revokeApiKey", method: http.MethodDelete, path: "/apikeys/{id}", tag: "API keys", summary: "End an API key at once", scopes: []string{ScopeKeys}}, s.revokeKey)
}

func (s *Server) listKeys(context.Context, *Call) (*answer[api.KeyList], error) {
	keys := s.cfg.State.APIKeys()
	list := api.KeyList{Keys: make([]api.Key, 0, len(keys))}
	for i := range keys {
		list.Keys = append(list.Keys, s.keyView(&keys[i]))
	}
	return &answer[api.KeyList]{Body: list}, nil
}

func (s *Server) keyView(k *APIKey) api.Key {
	v := api.Key{ID: k.ID, Description: k.Description, Scopes: slices.Clone(k.Scopes), CreatedAt: k.CreatedAt.UTC(), CreatedBy: k.CreatedBy}
	if !k.Expires.IsZero() {
		at := k.Expires.UTC()
		v.Expires, v.Expired = &at, !s.now().Before(at)
	}
	return v
}

type createKeyInput struct {
	Call
	Body api.KeyRequest
}

func (s *Server) createKey(ctx context.Context, in *createKeyInput) (*answer[api.NewKey], error) {
	if in.Body.Never && in.Body.Days != 0 {
		return nil, api.NewProblem(http.StatusUnprocessableEntity, api.ReasonMalformed, "a key expires in some days or never, not both")
	}
	if len(s.cfg.State.APIKeys()) >= maxKeys {
		return nil, api.NewProblem(http.StatusConflict, api.ReasonConflict, "there are %d API keys, which is as many as there may be; revoke those that nobody uses", maxKeys)
	}
	var scopes []string
	for i, given := range in.Body.Scopes {
		scope, err := checkScope(given, s.names)
		if err != nil {
			return nil, api.NewProblem(http.StatusUnprocessableEntity, api.ReasonMalformed, "%v", err).
				With(api.Finding{Field: "body.scopes[" + itoa(i) + "]", Reason: err.Error()})
		}
		if !in.caller.grants(scope) {
			return nil, api.NewProblem(http.StatusForbidden, api.ReasonForbidden, "%s may not give away scope %s, which it does not have", in.caller.By, scope)
		}
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	now := s.now()
	key := APIKey{ID: newReference(), Description: in.Body.Description, Scopes: scopes, CreatedAt: now, CreatedBy: in.caller.By}
	var err error
	if key.Expires, err = keyTerm(&in.caller, &in.Body, now); err != nil {
		return nil, err
	}
	var random [secretBytes]byte
	_, _ = rand.Read(random[:]) // never fails: it ends the process instead
	secret := base64.RawURLEncoding.EncodeToString(random[:])
	hash := sha256.Sum256([]byte(secret))
	created := &event.ApiKeyCreated{Id: key.ID, Description: key.Description, Hash: hash[:], Scopes: scopes, By: in.caller.By}
	if !key.Expires.IsZero() {
		created.ExpiresUnix = key.Expires.Unix()
	}
	if err := s.record(ctx, event.TypeAPIKeyCreated, event.ClassSystem, nil, created); err != nil {
		return nil, err
	}
	return &answer[api.NewKey]{Body: api.NewKey{Key: s.keyView(&key), Secret: keyPrefix + key.ID + "_" + secret}}, nil
}

// keyTerm returns when a new key expires, zero for never. A key can make none that outlives it: else its term would bind nobody.
func keyTerm(caller *Caller, k *api.KeyRequest, now time.Time) (time.Time, error) {
	var expires time.Time
	days := k.Days
	if days == 0 {
		days = defaultKeyDays
	}
	if !k.Never {
		expires = now.Add(time.Duration(days) * 24 * time.Hour).Truncate(time.Second)
	}
	switch {
	case caller.until.IsZero() || !expires.IsZero() && !expires.After(caller.until):
		return expires, nil
	case k.Never || k.Days != 0:
		return expires, api.NewProblem(http.StatusForbidden, api.ReasonForbidden, "%s may not make a key that outlives it: it expires at %s",
			caller.By, caller.until.UTC().Format(time.RFC3339))
	}
	return caller.until, nil
}

type keyInput struct {
	Call
	ID string `path:"id" maxLength:"64"`
}

func (s *Server) revokeKey(ctx context.Context, in *keyInput) (*nothing, error) {
	if _, ok := s.cfg.State.APIKey(in.ID); !ok {
		return nil, api.NewProblem(http.StatusNotFound, api.ReasonNotFound, "there is no API key %q", in.ID)
	}
	return &nothing{}, s.record(ctx, event.TypeAPIKeyRevoked, event.ClassSystem, nil, &event.ApiKeyRevoked{Id: in.ID, By: in.caller.By})
}
