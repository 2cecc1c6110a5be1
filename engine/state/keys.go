package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"trine/engine/event"
	"trine/engine/state/rows"
)

// APIKey is an API key that was created and not revoked.
type APIKey struct {
	ID          string
	Description string
	Hash        Form // SHA-256 of the secret
	Scopes      []string
	Expires     time.Time // zero: never
	CreatedBy   string
	CreatedAt   time.Time
}

// Expired reports whether the key is past its term.
func (k *APIKey) Expired(now time.Time) bool { return !k.Expires.IsZero() && now.After(k.Expires) }

// ClusterKey is a cluster key, wrapped for each node.
type ClusterKey struct {
	ID    uint32
	Wraps []Wrap // in the order of their nodes
}

// Wrap is a cluster key as one node can unwrap it.
type Wrap struct {
	Node    uint64
	Wrapped Form
}

// APIKey returns the API key with that id. Whether it is expired is the caller's to ask.
func (s *State) APIKey(id string) (APIKey, bool) {
	row, ok := s.apiKeys.Get(nil, []byte(id))
	if !ok {
		return APIKey{}, false
	}
	k, err := s.decodeAPIKey(id, row)
	if err != nil {
		violated("a readable API key row", "%s: %v", id, err)
	}
	return k, true
}

// APIKeys returns all API keys in the order of their ids.
func (s *State) APIKeys() []APIKey {
	var ids []string
	s.apiKeys.Scan(0, func(_ rows.Ref, key, _ []byte) bool {
		ids = append(ids, string(key))
		return true
	})
	slices.Sort(ids)
	var keys []APIKey
	for _, id := range ids {
		if k, ok := s.APIKey(id); ok {
			keys = append(keys, k)
		}
	}
	return keys
}

func (s *State) foldAPIKey(at Stamp, m *event.ApiKeyCreated) {
	row := putData(nil, 1, []byte(m.Description))
	row = putData(row, 2, m.Hash)
	for _, scope := range m.Scopes {
		row = protowire.AppendTag(row, 3, protowire.BytesType)
		row = protowire.AppendString(row, scope)
	}
	row = putNumber(row, 4, uint64(m.ExpiresUnix))
	row = putNumber(row, 5, s.symbol([]byte(m.By))+1)
	row = putNumber(row, 6, uint64(at.unix()))
	s.apiKeys.Put([]byte(m.Id), row)
}

func (s *State) decodeAPIKey(id string, b []byte) (APIKey, error) {
	k := APIKey{ID: id}
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok {
			return k, fmt.Errorf("read API key row: %w", errRow)
		}
		b = rest
		switch f.num {
		case 1:
			k.Description = string(f.data)
		case 2:
			k.Hash = bytes.Clone(f.data)
		case 3:
			k.Scopes = append(k.Scopes, string(f.data))
		case 4:
			k.Expires = time.Unix(int64(f.value), 0).UTC()
		case 5:
			k.CreatedBy = s.person(f.value)
		case 6:
			k.CreatedAt = time.Unix(int64(f.value), 0).UTC()
		}
	}
	return k, nil
}

// ClusterKeys returns all cluster keys in the order of their ids; the last one seals, all open.
func (s *State) ClusterKeys() []ClusterKey {
	var keys []ClusterKey
	s.clusterKeys.Scan(0, func(_ rows.Ref, key, row []byte) bool {
		k, err := decodeClusterKey(key, bytes.Clone(row))
		if err != nil {
			violated("a readable cluster key row", "%x: %v", key, err)
		}
		keys = append(keys, k)
		return true
	})
	slices.SortFunc(keys, func(a, b ClusterKey) int { return cmp.Compare(a.ID, b.ID) })
	return keys
}

// foldClusterKey adds a cluster key. For one that is there, the wraps are added to its own, as when a node joins.
func (s *State) foldClusterKey(m *event.ClusterKeyAdded) {
	key := binary.BigEndian.AppendUint32(nil, m.Id)
	var k ClusterKey
	if row, _, ok := s.clusterKeys.Peek(key); ok {
		var err error
		if k, err = decodeClusterKey(key, bytes.Clone(row)); err != nil {
			violated("a readable cluster key row", "%x: %v", key, err)
		}
	}
	for _, wrap := range m.Wraps {
		at, found := slices.BinarySearchFunc(k.Wraps, wrap.Node, func(a Wrap, node uint64) int { return cmp.Compare(a.Node, node) })
		if found {
			k.Wraps[at].Wrapped = wrap.Wrapped
		} else {
			k.Wraps = slices.Insert(k.Wraps, at, Wrap{Node: wrap.Node, Wrapped: wrap.Wrapped})
		}
	}
	var row []byte
	for _, wrap := range k.Wraps {
		row = putData(row, 1, putData(putFixed(nil, 1, wrap.Node), 2, wrap.Wrapped))
	}
	s.clusterKeys.Put(key, row)
}

func decodeClusterKey(key, b []byte) (ClusterKey, error) {
	var k ClusterKey
	if len(key) != 4 {
		return k, fmt.Errorf("read cluster key %x: %w", key, errRow)
	}
	k.ID = binary.BigEndian.Uint32(key)
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok {
			return k, fmt.Errorf("read cluster key row: %w", errRow)
		}
		b = rest
		if f.num != 1 {
			continue
		}
		var wrap Wrap
		for w := f.data; len(w) > 0; {
			g, more, ok := next(w)
			if !ok {
				return k, fmt.Errorf("read wrap of cluster key row: %w", errRow)
			}
			w = more
			switch g.num {
			case 1:
				wrap.Node = g.value
			case 2:
				wrap.Wrapped = g.data
			}
		}
		k.Wraps = append(k.Wraps, wrap)
	}
	return k, nil
}
