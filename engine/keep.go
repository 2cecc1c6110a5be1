package engine

import (
	"trine/engine/credential"
	"trine/engine/document"
)

// KeepOf returns which forms of a password a user type keeps, and what its Argon2id form costs; nil: what is kept where no user type
// says otherwise.
func KeepOf(t *document.UserType) (credential.Keep, credential.Params) {
	if t == nil {
		return credential.DefaultKeep(), credential.DefaultParams()
	}
	p := &t.Password
	return credential.Keep{
		Argon2id: p.Keeps(document.FormArgon2id), Keyed: p.Keeps(document.FormKeyed),
		NT: p.Keeps(document.FormNT), Clear: p.Keeps(document.FormClear), History: p.History,
	}, credential.Params{
		MemoryKiB: uint32(p.Argon2.MemoryKiB), Iterations: uint16(p.Argon2.Iterations), Parallelism: uint8(p.Argon2.Parallelism),
	}
}
