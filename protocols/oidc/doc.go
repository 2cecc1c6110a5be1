// Package oidc is the OpenID provider: the endpoints of OpenID Connect and OAuth 2.0 that an identity provider has on the web front. It reads requests, asks the
// front for logins and the engine for grants, and renders what they decide; it decides nothing about people itself.
package oidc
