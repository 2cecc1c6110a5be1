// Package chap is the arithmetic of the challenge-response methods: CHAP (RFC
// 1994), MS-CHAPv1 (RFC 2433, NT response only), MS-CHAPv2 with its password
// change (RFC 2759) and the MPPE keys that follow from both (RFC 3079). It maps
// bytes to bytes, compares in constant time and allocates nothing while it
// verifies. It knows no user, no policy and no packet.
package chap
