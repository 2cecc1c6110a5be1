// Package md5 is the message digest of RFC 1321 for protocols that build on it:
// [Digest] is a plain value, which can be kept half-way, and [Lanes] digests many
// messages side by side. The standard library's can do neither without
// allocating. MD5 withstands no attacker who chooses both texts; nothing but the
// protocols that demand it uses this package.
package md5
