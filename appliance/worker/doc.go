// Package worker runs what must never disturb a protocol loop in child processes of the same binary, `trine worker`: idle
// scheduling priority, an address-space limit, and a deadline after which a child is killed and started anew. [Passwords] does
// Argon2id and the hashes of other systems and implements [credential.Hasher]; [Scripts] runs administrators' scripts and implements [script.Runner]; [Main] is the
// child of either. Parent and child speak length-prefixed frames over the child's standard input and output. What fails in a child
// fails a login; it never lets one through.
package worker
