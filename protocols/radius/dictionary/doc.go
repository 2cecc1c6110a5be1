// Package dictionary gives RADIUS attributes their names, data types and named
// values, reads the dictionary syntax that administrators know, and turns text
// into attributes and back. A [Dictionary] is immutable: an administrator's
// files are laid over it as a new one. A [Template] is a list of reply
// attributes made ready once and appended to any number of replies without
// allocating. The package knows no packet but through package wire, and decides
// nothing about which attributes a reply deserves.
package dictionary
