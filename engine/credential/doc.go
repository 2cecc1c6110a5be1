// Package credential verifies one factor. Today that is the password, in every form in which a packet protocol can prove it:
// as clear text (PAP), by CHAP, MS-CHAPv1 and MS-CHAPv2; against the forms that the person's user type keeps: Argon2id, keyed
// (an HMAC under a cluster key), the NT hash and the clear text, the last two sealed. It leaves no oracle: an unknown user
// costs what a known one costs.
package credential
