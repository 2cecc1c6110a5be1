// Package web is the HTTPS front that the browser protocols share: it finds the identity provider that a request is for, leads people through logins with every
// factor, keeps their cookies, asks for consent, logs them out everywhere, and shows them what they have. What a login needs is the engine's to say, and what a
// protocol's endpoints answer is the protocol's.
package web
