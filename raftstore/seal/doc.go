// Package seal keeps the checkpoint of a store: the rows of the views, in files that are written once, and the SEAL file, the one thing
// that says which of those files count and up to which raft index. What the SEAL does not name does not exist.
package seal
