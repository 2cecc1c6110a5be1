package state_test

import (
	"slices"
	"testing"
	"time"

	"trine/engine/event"
	"trine/engine/state"
)

func founded(l *log) {
	l.t.Helper()
	l.must(&event.ClusterKeyAdded{Id: 1, Wraps: []*event.ClusterKeyAdded_Wrap{{Node: 1, Wrapped: []byte("for one")}}})
	l.must(
		&event.ClusterFounded{Cluster: "c0", Authority: []byte("certificate"), Key: []byte("sealed"), By: "admin"},
		&event.NodeJoined{Node: 1, Name: "one", Address: "a:1", Role: uint32(event.RoleVoter), Public: []byte("p1"), Serial: []byte{1}, ExpiresUnix: 99, By: "admin"},
	)
}

func token(id string, role event.NodeRole, expires time.Time) *event.JoinTokenMade {
	return &event.JoinTokenMade{Id: id, Hash: []byte("hash of " + id), Role: uint32(role), ExpiresUnix: expires.Unix(), By: "admin"}
}

func joined(node uint64, name, token string) *event.NodeJoined {
	return &event.NodeJoined{Node: node, Name: name, Address: name + ":1", Role: uint32(event.RoleVoter), Public: []byte("p"), Serial: []byte{2}, ExpiresUnix: 99, Token: token, By: "token:" + token}
}

func TestJoinTokenIsUsedOnce(t *testing.T) {
	l := newLog(t)
	founded(l)
	until := l.at.Time.Add(time.Minute)
	l.must(token("t1", event.RoleVoter, until))
	l.void(event.CodeConflict, "t1 exists already", token("t1", event.RoleVoter, until))
	l.void(event.CodeConflict, "not known", joined(2, "two", "t1"), joined(3, "three", "t1"))
	l.must(joined(2, "two", "t1"))
	l.void(event.CodeConflict, "not known", joined(3, "three", "t1"))
	n, ok := l.Node(2)
	if !ok || n.Name != "two" || n.Address != "two:1" || n.Role != event.RoleVoter || string(n.Public) != "p" || n.Token != "t1" || string(n.Hash) != "hash of t1" ||
		!n.Until.Equal(until.Truncate(time.Second)) || n.By != "token:t1" || !n.Removed.IsZero() {
		t.Errorf("node %+v", n)
	}
	if list := l.JoinTokens(); len(list) != 0 {
		t.Errorf("tokens %v are left", list)
	}
}

func TestJoinTokenIsBound(t *testing.T) {
	l := newLog(t)
	founded(l)
	l.must(token("replica", event.RoleReplica, l.at.Time.Add(time.Minute)))
	l.void(event.CodeConflict, "is for a replica", joined(2, "two", "replica"))
	l.must(token("short", event.RoleVoter, l.at.Time.Add(2*time.Second)))
	l.at.Time = l.at.Time.Add(3 * time.Second)
	l.void(event.CodeConflict, "has expired", joined(2, "two", "short"))
	l.must(token("revoked", event.RoleVoter, l.at.Time.Add(time.Minute)), &event.JoinTokenRevoked{Id: "replica"})
	l.must(&event.JoinTokenRevoked{Id: "revoked"})
	l.void(event.CodeConflict, "not known", joined(2, "two", "revoked"))
	l.void(event.CodeMissing, "does not exist", &event.JoinTokenRevoked{Id: "revoked"})
	if list := l.JoinTokens(); len(list) != 1 || list[0].ID != "short" || !list[0].Expired(l.at.Time) {
		t.Errorf("tokens %+v, want the one that has expired", list)
	}
	l.must(&event.TombstonesSwept{BeforeUnix: l.at.Time.Unix() + 1})
	if list := l.JoinTokens(); len(list) != 0 {
		t.Errorf("a sweep left %+v", list)
	}
}

func TestNodesHaveNamesAndNumbersOfTheirOwn(t *testing.T) {
	l := newLog(t)
	founded(l)
	l.void(event.CodeConflict, "a cluster already", &event.ClusterFounded{Cluster: "c1"})
	l.void(event.CodeConflict, "is or was one of this cluster", joined(1, "other", ""))
	l.void(event.CodeConflict, "is called one already", joined(2, "ONE", ""))
	l.must(joined(2, "two", ""))
	l.void(event.CodeConflict, "is called one already", &event.NodeChanged{Node: 2, Name: "one"})
	l.void(event.CodeMissing, "none of this cluster", &event.NodeChanged{Node: 3, Name: "three"})
	l.must(&event.NodeChanged{Node: 2, Name: "zwei", Role: uint32(event.RoleReplica)})
	l.must(&event.NodeChanged{Node: 2, Address: "b:2", Serial: []byte{7}, ExpiresUnix: 123, Version: "2"})
	n, _ := l.Node(2)
	if n.Name != "zwei" || n.Role != event.RoleReplica || n.Address != "b:2" || n.Serial[0] != 7 || n.Expires.Unix() != 123 || n.Version != "2" || string(n.Public) != "p" {
		t.Errorf("node %+v", n)
	}
	a, ok := l.Authority()
	if !ok || a.Cluster != "c0" || string(a.Certificate) != "certificate" || string(a.Key) != "sealed" || a.FoundedBy != "admin" {
		t.Errorf("authority %+v", a)
	}
}

func TestRemovedNodeLosesItsKeysForEver(t *testing.T) {
	l := newLog(t)
	founded(l)
	wrap := &event.ClusterKeyAdded{Id: 1, Wraps: []*event.ClusterKeyAdded_Wrap{{Node: 2, Wrapped: []byte("for two")}}}
	l.must(joined(2, "two", ""), wrap)
	if wraps := l.ClusterKeys()[0].Wraps; len(wraps) != 2 {
		t.Fatalf("wraps %v", wraps)
	}
	l.must(&event.NodeRemoved{Node: 2, By: "admin"})
	if wraps := l.ClusterKeys()[0].Wraps; len(wraps) != 1 || wraps[0].Node != 1 {
		t.Errorf("wraps %v, want that of the node that stayed", wraps)
	}
	l.void(event.CodeMissing, "was removed", wrap)
	l.void(event.CodeMissing, "was removed", &event.NodeRemoved{Node: 2})
	l.void(event.CodeMissing, "was removed", &event.NodeChanged{Node: 2, Address: "x:1"})
	l.void(event.CodeConflict, "is or was", joined(2, "two", ""))
	l.must(joined(3, "two", "")) // the name is free again
	for name, s := range map[string]*state.State{"as applied": l.State, "as loaded": l.reloaded()} {
		if !s.NodeRemoved(2) || s.NodeRemoved(1) || s.NodeRemoved(9) || !slices.Equal(s.RemovedNodes(), []uint64{2}) {
			t.Errorf("%s: removed %v", name, s.RemovedNodes())
		}
		if list := s.Nodes(); len(list) != 2 || list[0].Node != 1 || list[1].Node != 3 {
			t.Errorf("%s: nodes %+v", name, list)
		}
	}
}

func TestClusterWithoutNodesIsFoundedAnew(t *testing.T) {
	l := newLog(t)
	founded(l)
	l.must(&event.NodeRemoved{Node: 1, By: "restore"})
	l.must(&event.ClusterFounded{Cluster: "c1", Authority: []byte("other"), Key: []byte("sealed"), By: "admin"}, joined(5, "one", ""))
	if a, _ := l.Authority(); a.Cluster != "c1" || string(a.Certificate) != "other" {
		t.Errorf("authority %+v", a)
	}
	l.void(event.CodeConflict, "a cluster already", &event.ClusterFounded{Cluster: "c2"})
}
