// Package worker runs what must never disturb a protocol loop in a child process of the same binary, `trine worker`: idle
// scheduling priority, an address-space limit, and a deadline after which it is killed and started anew. Today that is
// Argon2id and the hashes of other systems. [Pool] is the parent's side and implements [credential.Hasher]; [Main] is the child. The two speak length-prefixed
// frames over the child's standard input and output. What fails in the child fails a login; it never lets one through.
package worker
