// Package history keeps the facts of sealed records for reading: one Badger directory for each epoch of each class, in it
// compressed blobs of facts in the order of the log. A blob is indexed as a whole, by its positions and times and a filter
// over the stream keys in it, because two index keys a record cost more than the record.
//
// What counts is what the SEAL counts: blobs past it are leftovers of a crash and are removed when the set is opened, and an
// epoch that holds less than the SEAL says is damaged.
package history
