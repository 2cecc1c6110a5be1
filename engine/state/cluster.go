package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"trine/engine/event"
	"trine/engine/event/field"
	"trine/engine/state/rows"
)

// Authority is what a cluster is known by: its id, and who certifies its nodes.
type Authority struct {
	Cluster     string // id, 16 hexadecimal digits
	Certificate []byte // DER
	Key         Form   // PKCS #8, sealed with a cluster key
	Founded     time.Time
	FoundedBy   string
}

// Node is a node of the cluster, or one that was.
type Node struct {
	Node    uint64
	Name    string
	Address string // where other nodes reach it
	Role    event.NodeRole
	Public  []byte    // X25519 key for which cluster keys are wrapped
	Serial  []byte    // of its certificate
	Expires time.Time // of its certificate
	Version string
	Joined  time.Time
	By      string
	Token   string    // id of the token by which it joined
	Hash    Form      // SHA-256 of that token's secret, so that the node can ask again when the answer was lost
	Until   time.Time // when that token would have expired
	Removed time.Time // zero: it was not
}

// JoinToken lets one node join.
type JoinToken struct {
	ID      string
	Hash    Form // SHA-256 of the secret
	Role    event.NodeRole
	Expires time.Time
	By      string
}

// Expired reports whether the token is past its term.
func (t *JoinToken) Expired(now time.Time) bool { return !now.Before(t.Expires) }

// authorityKey is the key of the authority's row; those of nodes have 8 bytes.
var authorityKey = []byte("authority")

// Authority returns the cluster's authority, and false where there is no cluster but a lone node.
func (s *State) Authority() (Authority, bool) {
	row, ok := s.cluster.Get(nil, authorityKey)
	if !ok {
		return Authority{}, false
	}
	a, err := s.decodeAuthority(row)
	if err != nil {
		violated("a readable row of the cluster's authority", "%v", err)
	}
	return a, true
}

// Node returns the node with a number, one that was removed included.
func (s *State) Node(node uint64) (Node, bool) {
	var key [8]byte
	row, ok := s.cluster.Get(nil, idKey2(&key, node))
	if !ok {
		return Node{}, false
	}
	n, err := s.decodeNode(node, row)
	if err != nil {
		violated("a readable row of a node", "%016x: %v", node, err)
	}
	return n, true
}

// NodeRemoved reports whether a node was removed from the cluster.
func (s *State) NodeRemoved(node uint64) bool {
	n, ok := s.Node(node)
	return ok && !n.Removed.IsZero()
}

// Nodes returns the nodes that were not removed, in the order of their names.
func (s *State) Nodes() []Node {
	return slices.DeleteFunc(s.allNodes(), func(n Node) bool { return !n.Removed.IsZero() })
}

// RemovedNodes returns the numbers of the nodes that were removed.
func (s *State) RemovedNodes() (list []uint64) {
	for _, n := range s.allNodes() {
		if !n.Removed.IsZero() {
			list = append(list, n.Node)
		}
	}
	return list
}

func (s *State) allNodes() []Node {
	var numbers []uint64
	s.cluster.Scan(0, func(_ rows.Ref, key, _ []byte) bool {
		if len(key) == 8 {
			numbers = append(numbers, binary.BigEndian.Uint64(key))
		}
		return true
	})
	var list []Node
	for _, number := range numbers {
		if n, ok := s.Node(number); ok {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b Node) int { return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Node, b.Node)) })
	return list
}

// JoinToken returns the token with that id, if it was neither used up nor taken back. Whether it has expired is the caller's to ask.
func (s *State) JoinToken(id string) (JoinToken, bool) {
	row, ok := s.tokens.Get(nil, []byte(id))
	if !ok {
		return JoinToken{}, false
	}
	t, err := s.decodeToken(id, row)
	if err != nil {
		violated("a readable row of a join token", "%s: %v", id, err)
	}
	return t, true
}

// JoinTokens returns all such tokens in the order of their ids.
func (s *State) JoinTokens() (list []JoinToken) {
	var ids []string
	s.tokens.Scan(0, func(_ rows.Ref, key, _ []byte) bool {
		ids = append(ids, string(key))
		return true
	})
	slices.Sort(ids)
	for _, id := range ids {
		if t, ok := s.JoinToken(id); ok {
			list = append(list, t)
		}
	}
	return list
}

// checkCluster checks what an event about the cluster and its nodes demands.
func (s *State) checkCluster(at Stamp, e *event.Envelope) Result {
	switch e.Type {
	case event.TypeClusterKeyAdded:
		return s.checkWraps(read[*event.ClusterKeyAdded](e, at))
	case event.TypeClusterFounded:
		return s.checkFounded()
	case event.TypeJoinTokenMade:
		if id := read[*event.JoinTokenMade](e, at).Id; s.tokens.Has([]byte(id)) {
			return Result{Code: event.CodeConflict, Detail: "join token " + id + " exists already"}
		}
	case event.TypeJoinTokenRevoked:
		return s.checkToken(read[*event.JoinTokenRevoked](e, at).Id)
	case event.TypeNodeJoined:
		return s.checkJoined(at, read[*event.NodeJoined](e, at))
	case event.TypeNodeChanged:
		m := read[*event.NodeChanged](e, at)
		if r := s.checkNode(m.Node); r.Code != 0 || m.Name == "" {
			return r
		}
		return s.checkNodeName(m.Node, m.Name)
	case event.TypeNodeRemoved:
		return s.checkNode(read[*event.NodeRemoved](e, at).Node)
	}
	return Result{}
}

// checkFounded checks that there is no cluster, or none of its nodes any more, as after the restore of a backup.
func (s *State) checkFounded() Result {
	if s.cluster.Has(authorityKey) && len(s.Nodes()) > 0 {
		return Result{Code: event.CodeConflict, Detail: "this is a cluster already"}
	}
	return Result{}
}

// checkToken checks that a token is there.
func (s *State) checkToken(id string) Result {
	if !s.tokens.Has([]byte(id)) {
		return Result{Code: event.CodeMissing, Detail: "join token " + id + " does not exist, or was used up"}
	}
	return Result{}
}

// checkJoined checks that number and name are nobody's, and that the token is good. It notes that the token is used up.
func (s *State) checkJoined(at Stamp, m *event.NodeJoined) Result {
	if s.cluster.Has(idKey(&s.work.key, m.Node)) {
		return Result{Code: event.CodeConflict, Detail: fmt.Sprintf("node %016x is or was one of this cluster; a node that comes back gets an empty data directory and so a new number", m.Node)}
	}
	if r := s.checkNodeName(m.Node, m.Name); r.Code != 0 || m.Token == "" {
		return r
	}
	row, _, ok := s.tokens.Peek([]byte(m.Token))
	p, once := &s.work.plan, "join/"+m.Token
	if _, twice := p.consumed[once]; !ok || twice {
		return Result{Code: event.CodeConflict, Detail: "join token " + m.Token + " is not known: it was used up, taken back or swept after its term"}
	}
	t, err := s.decodeToken(m.Token, row)
	if err != nil {
		violated("a readable row of a join token", "%s: %v", m.Token, err)
	}
	switch {
	case t.Expired(at.Time):
		return Result{Code: event.CodeConflict, Detail: "join token " + m.Token + " has expired"}
	case uint32(t.Role) != m.Role:
		return Result{Code: event.CodeConflict, Detail: fmt.Sprintf("join token %s is for a %s", m.Token, t.Role)}
	}
	if p.consumed == nil {
		p.consumed = make(map[string]struct{})
	}
	p.consumed[once] = struct{}{}
	return Result{}
}

// checkNodeName checks that no other node has the name.
func (s *State) checkNodeName(node uint64, name string) Result {
	for _, other := range s.Nodes() {
		if other.Node != node && strings.EqualFold(other.Name, name) {
			return Result{Code: event.CodeConflict, Detail: fmt.Sprintf("node %016x is called %s already", other.Node, other.Name)}
		}
	}
	return Result{}
}

// checkNode checks that a node is one of the cluster.
func (s *State) checkNode(node uint64) Result {
	n, ok := s.Node(node)
	switch {
	case !ok:
		return Result{Code: event.CodeMissing, Detail: fmt.Sprintf("node %016x is none of this cluster", node)}
	case !n.Removed.IsZero():
		return Result{Code: event.CodeMissing, Detail: fmt.Sprintf("node %016x (%s) was removed from this cluster", node, n.Name)}
	}
	return Result{}
}

// checkWraps checks that no cluster key is wrapped for a node that was removed.
func (s *State) checkWraps(m *event.ClusterKeyAdded) Result {
	for _, wrap := range m.Wraps {
		if s.NodeRemoved(wrap.Node) {
			return s.checkNode(wrap.Node)
		}
	}
	return Result{}
}

func (s *State) foldFounded(at Stamp, m *event.ClusterFounded) {
	row := field.AppendBytes(nil, 1, []byte(m.Cluster))
	row = field.AppendBytes(row, 2, m.Authority)
	row = field.AppendBytes(row, 3, m.Key)
	row = field.AppendNumber(row, 4, uint64(at.unix()))
	s.cluster.Put(authorityKey, field.AppendNumber(row, 5, s.symbol([]byte(m.By))+1))
}

func (s *State) decodeAuthority(b []byte) (a Authority, err error) {
	for len(b) > 0 {
		f, rest, ok := field.Next(b)
		if !ok {
			return a, fmt.Errorf("read the cluster's authority: %w", errRow)
		}
		b = rest
		switch f.Num {
		case 1:
			a.Cluster = string(f.Data)
		case 2:
			a.Certificate = bytes.Clone(f.Data)
		case 3:
			a.Key = bytes.Clone(f.Data)
		case 4:
			a.Founded = time.Unix(int64(f.Value), 0).UTC()
		case 5:
			a.FoundedBy = s.person(f.Value)
		}
	}
	return a, nil
}

func (s *State) foldTokenMade(m *event.JoinTokenMade) {
	row := field.AppendBytes(nil, 1, m.Hash)
	row = field.AppendNumber(row, 2, uint64(m.Role))
	row = field.AppendNumber(row, 3, uint64(m.ExpiresUnix))
	s.tokens.Put([]byte(m.Id), field.AppendNumber(row, 4, s.symbol([]byte(m.By))+1))
}

func (s *State) decodeToken(id string, b []byte) (JoinToken, error) {
	t := JoinToken{ID: id}
	for len(b) > 0 {
		f, rest, ok := field.Next(b)
		if !ok {
			return t, fmt.Errorf("read join token: %w", errRow)
		}
		b = rest
		switch f.Num {
		case 1:
			t.Hash = bytes.Clone(f.Data)
		case 2:
			t.Role = event.NodeRole(f.Value)
		case 3:
			t.Expires = time.Unix(int64(f.Value), 0).UTC()
		case 4:
			t.By = s.person(f.Value)
		}
	}
	return t, nil
}

// foldJoined makes the node's row and uses its token up.
func (s *State) foldJoined(at Stamp, m *event.NodeJoined) {
	n := Node{
		Node: m.Node, Name: m.Name, Address: m.Address, Role: event.NodeRole(m.Role), Public: m.Public, Serial: m.Serial, Expires: time.Unix(m.ExpiresUnix, 0),
		Version: m.Version, Joined: at.Time, By: m.By, Token: m.Token,
	}
	if t, ok := s.JoinToken(m.Token); ok {
		n.Hash, n.Until = t.Hash, t.Expires
		s.tokens.Delete([]byte(m.Token))
	}
	s.putNode(&n)
}

// foldNodeChanged changes what the event names.
func (s *State) foldNodeChanged(m *event.NodeChanged) {
	n, ok := s.Node(m.Node)
	if !ok {
		return
	}
	if m.Name != "" {
		n.Name = m.Name
	}
	if m.Address != "" {
		n.Address = m.Address
	}
	if m.Role != 0 {
		n.Role = event.NodeRole(m.Role)
	}
	if len(m.Serial) > 0 {
		n.Serial = m.Serial
	}
	if m.ExpiresUnix != 0 {
		n.Expires = time.Unix(m.ExpiresUnix, 0)
	}
	if m.Version != "" {
		n.Version = m.Version
	}
	s.putNode(&n)
}

// foldNodeRemoved keeps of a node that it was removed, and takes the keys that are wrapped for it away.
func (s *State) foldNodeRemoved(at Stamp, m *event.NodeRemoved) {
	n, ok := s.Node(m.Node)
	if !ok {
		return
	}
	s.putNode(&Node{Node: n.Node, Name: n.Name, Role: n.Role, Joined: n.Joined, By: m.By, Removed: at.Time})
	for _, k := range s.ClusterKeys() {
		kept := slices.DeleteFunc(slices.Clone(k.Wraps), func(w Wrap) bool { return w.Node == m.Node })
		if len(kept) < len(k.Wraps) {
			s.putClusterKey(ClusterKey{ID: k.ID, Wraps: kept})
		}
	}
}

func (s *State) putNode(n *Node) {
	seconds := func(t time.Time) uint64 {
		if t.IsZero() {
			return 0
		}
		return uint64(t.Unix())
	}
	row := field.AppendBytes(nil, 1, []byte(n.Name))
	row = field.AppendBytes(row, 2, []byte(n.Address))
	row = field.AppendNumber(row, 3, uint64(n.Role))
	row = field.AppendBytes(row, 4, n.Public)
	row = field.AppendBytes(row, 5, n.Serial)
	row = field.AppendNumber(row, 6, seconds(n.Expires))
	row = field.AppendBytes(row, 7, []byte(n.Version))
	row = field.AppendNumber(row, 8, seconds(n.Joined))
	row = field.AppendNumber(row, 9, s.symbol([]byte(n.By))+1)
	row = field.AppendBytes(row, 10, []byte(n.Token))
	row = field.AppendBytes(row, 11, n.Hash)
	row = field.AppendNumber(row, 12, seconds(n.Until))
	row = field.AppendNumber(row, 13, seconds(n.Removed))
	var key [8]byte
	s.cluster.Put(idKey2(&key, n.Node), row)
}

func (s *State) decodeNode(node uint64, b []byte) (Node, error) {
	n := Node{Node: node}
	for len(b) > 0 {
		f, rest, ok := field.Next(b)
		if !ok {
			return n, fmt.Errorf("read node: %w", errRow)
		}
		b = rest
		switch f.Num {
		case 1:
			n.Name = string(f.Data)
		case 2:
			n.Address = string(f.Data)
		case 3:
			n.Role = event.NodeRole(f.Value)
		case 4:
			n.Public = bytes.Clone(f.Data)
		case 5:
			n.Serial = bytes.Clone(f.Data)
		case 6:
			n.Expires = time.Unix(int64(f.Value), 0).UTC()
		case 7:
			n.Version = string(f.Data)
		case 8:
			n.Joined = time.Unix(int64(f.Value), 0).UTC()
		case 9:
			n.By = s.person(f.Value)
		case 10:
			n.Token = string(f.Data)
		case 11:
			n.Hash = bytes.Clone(f.Data)
		case 12:
			n.Until = time.Unix(int64(f.Value), 0).UTC()
		case 13:
			n.Removed = time.Unix(int64(f.Value), 0).UTC()
		}
	}
	return n, nil
}

// sweepTokens forgets tokens whose term was over before a time.
func (s *State) sweepTokens(before int64) {
	for _, key := range expired(s.tokens, func(row []byte) bool {
		t, err := s.decodeToken("", row)
		return err == nil && t.Expires.Unix() < before
	}) {
		s.tokens.Delete(key)
	}
}
