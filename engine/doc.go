// Package engine decides. It is the facade that the protocols call: they bring who asks, for whom and with which proof, and
// get a decision with its reason, what to release, and a place in the log. It knows no wire, no disk and no network: what it
// needs of those it declares as interfaces ([Log], [credential.Hasher]) and gets through [New].
package engine
