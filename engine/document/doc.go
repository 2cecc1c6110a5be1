// Package document holds the kinds of configuration document as Go types, and everything that can be said about a document
// without knowing the rest of the node: reading it strictly from YAML or JSON, checking it, naming what it refers to and what
// it claims, comparing two versions, and writing it for the log or for a reader. It keeps nothing and proposes nothing.
package document
