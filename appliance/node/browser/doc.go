// Package browser holds the tests of what a node serves to browsers and relying parties: Debian's Chromium over the DevTools protocol, and relying parties
// of others, against a node in a process of its own. It has no other code.
package browser
