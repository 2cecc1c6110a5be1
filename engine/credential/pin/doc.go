// Package pin checks, keeps and verifies a PIN: a few digits that a person chooses, as a second factor. It is kept as an HMAC under a
// cluster key and bound to its owner, so that a stolen log is useless: no hash however slow would protect a million possibilities. How
// often somebody may guess is for whoever counts failures.
package pin
