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
	"trine/engine/event/field"
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
	row := field.AppendBytes(nil, 1, []byte(m.Description))
	row = field.AppendBytes(row, 2, m.Hash)
	for _, scope := range m.Scopes {
		row = protowire.AppendTag(row, 3, protowire.BytesType)
		row = protowire.AppendString(row, scope)
	}
	row = field.AppendNumber(row, 4, uint64(m.ExpiresUnix))
	row = field.AppendNumber(row, 5, s.symbol([]byte(m.By))+1)
	row = field.AppendNumber(row, 6, uint64(at.unix()))
	s.apiKeys.Put([]byte(m.Id), row)
}

func (s *State) decodeAPIKey(id string, b []byte) (APIKey, error) {
	k := APIKey{ID: id}
	for len(b) > 0 {
		f, rest, ok := field.Next(b)
		if !ok {
			return k, fmt.Errorf("read API key row: %w", errRow)
		}
		b = rest
		switch f.Num {
		case 1:
			k.Description = string(f.Data)
		case 2:
			k.Hash = bytes.Clone(f.Data)
		case 3:
			k.Scopes = append(k.Scopes, string(f.Data))
		case 4:
			k.Expires = time.Unix(int64(f.Value), 0).UTC()
		case 5:
			k.CreatedBy = s.person(f.Value)
		case 6:
			k.CreatedAt = time.Unix(int64(f.Value), 0).UTC()
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
	k.ID = m.Id
	s.putClusterKey(k)
}

func (s *State) putClusterKey(k ClusterKey) {
	var row []byte
	for _, wrap := range k.Wraps {
		row = field.AppendBytes(row, 1, field.AppendBytes(field.AppendFixed(nil, 1, wrap.Node), 2, wrap.Wrapped))
	}
	s.clusterKeys.Put(binary.BigEndian.AppendUint32(nil, k.ID), row)
}

func decodeClusterKey(key, b []byte) (ClusterKey, error) {
	var k ClusterKey
	if len(key) != 4 {
		return k, fmt.Errorf("read cluster key %x: %w", key, errRow)
	}
	k.ID = binary.BigEndian.Uint32(key)
	for len(b) > 0 {
		f, rest, ok := field.Next(b)
		if !ok {
			return k, fmt.Errorf("read cluster key row: %w", errRow)
		}
		b = rest
		if f.Num != 1 {
			continue
		}
		var wrap Wrap
		for w := f.Data; len(w) > 0; {
			g, more, ok := field.Next(w)
			if !ok {
				return k, fmt.Errorf("read wrap of cluster key row: %w", errRow)
			}
			w = more
			switch g.Num {
			case 1:
				wrap.Node = g.Value
			case 2:
				wrap.Wrapped = g.Data
			}
		}
		k.Wraps = append(k.Wraps, wrap)
	}
	return k, nil
}
