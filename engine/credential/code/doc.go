// Package code makes and verifies one-time codes that are sent to a person, by mail or in a text message, to prove that he receives them. It
// sends nothing and keeps nothing: what was issued and how often it was guessed come in as values, and that a code is used once in the
// whole cluster is for whoever records that. Codes that a device computes are the matter of package otp.
package code
