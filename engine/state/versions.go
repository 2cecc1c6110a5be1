package state

import "encoding/binary"

// LastVersion returns the version of a document or, if it was deleted, the last that it had; 0 if there never was one.
func (s *State) LastVersion(kind, name string) uint64 {
	key := appendKey(nil, []byte(kind), []byte(name))
	if version := s.version(key); version != 0 {
		return version
	}
	value, ok := s.graves.Get(nil, key)
	if !ok {
		return 0
	}
	version, _ := binary.Uvarint(value)
	return version
}
