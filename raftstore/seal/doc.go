// Package seal keeps the checkpoint of a store: a database with the rows of the views (Badger in managed mode, the version of
// a row is the raft index at which it was sealed), and the SEAL file, the one thing that says up to which index that
// database counts. What lies in the database beyond the SEAL does not exist.
package seal
