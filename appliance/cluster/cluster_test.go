package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"trine/engine/event"
	"trine/engine/secret"
	"trine/raftstore"
)

func TestTokenComesBack(t *testing.T) {
	made := NewToken("5f1c3f3a9d0b7c42", [32]byte{1, 2, 3}, []string{"192.0.2.1:1445", "[2001:db8::1]:1445", "node3.example.org:1445"})
	text, err := made.Text()
	must(t, err)
	if strings.ContainsAny(text, " \n\t") || len(text) > MaxToken {
		t.Errorf("text %q", text)
	}
	got, err := ParseToken(" " + text + "\n")
	must(t, err)
	if !reflect.DeepEqual(got, made) {
		t.Errorf("read %#v", got)
	}
	for i := range text {
		for _, c := range []byte{'A', 'z', ' '} {
			changed := []byte(text)
			if changed[i] == c {
				continue
			}
			changed[i] = c
			if _, err := ParseToken(string(changed)); !errors.Is(err, ErrToken) {
				t.Fatalf("with %q at %d: %v", c, i, err)
			}
		}
		if _, err := ParseToken(text[:i]); !errors.Is(err, ErrToken) {
			t.Fatalf("cut off at %d: %v", i, err)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if out := fmt.Sprintf(verb, made); out != secret.Mark {
			t.Errorf("%s shows %s", verb, out)
		}
	}
}

func TestTokenIsBounded(t *testing.T) {
	long := strings.Repeat("a", 250) + ":1"
	if text, err := NewToken("5f1c3f3a9d0b7c42", [32]byte{}, []string{long, long, long, long}).Text(); err == nil {
		t.Errorf("a token of %d characters was made", len(text))
	}
	text, err := NewToken("5f1c3f3a9d0b7c42", [32]byte{}, slices.Repeat([]string{"a:1"}, 20)).Text()
	must(t, err)
	if got, err := ParseToken(text); err != nil || len(got.Addresses) != maxAddresses {
		t.Errorf("%d addresses, %v", len(got.Addresses), err)
	}
}

func FuzzParseToken(f *testing.F) {
	text, err := NewToken("5f1c3f3a9d0b7c42", [32]byte{9}, []string{"a:1"}).Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(tokenHead)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseToken(text)
		if err != nil {
			return
		}
		if again, err := got.Text(); err != nil || again != strings.TrimSpace(text) {
			t.Fatalf("%q reads as %q, %v", text, again, err)
		}
	})
}

func TestIdentityIsRenewedWhenAThirdIsLeft(t *testing.T) {
	r := newRig(t)
	before := r.holder.Load()
	r.now = before.Own.NotAfter.Add(-nodeFor/3 - time.Hour)
	must(t, r.service.renew())
	if r.holder.Load() != before {
		t.Fatal("it was renewed too early")
	}
	r.now = before.Own.NotAfter.Add(-nodeFor/3 + time.Hour)
	must(t, r.service.renew())
	after := r.holder.Load()
	kept, err := ReadIdentity(r.dir)
	must(t, err)
	if after == before || !kept.Own.Equal(after.Own) || after.Node != 1 || after.Cluster != before.Cluster || after.key.Equal(before.key) || after.Due(r.now) {
		t.Errorf("renewed to %v, on disk %v", after.Own.NotAfter, kept.Own.NotAfter)
	}
	must(t, r.service.tell(t.Context()))
	if n, _ := r.views.Node(1); !bytes.Equal(n.Serial, after.Own.SerialNumber.Bytes()) || !n.Expires.Equal(after.Own.NotAfter) {
		t.Errorf("the log knows %x until %v", n.Serial, n.Expires)
	}
	r.now = after.Own.NotAfter.Add(time.Hour)
	must(t, r.service.renew())
	if again := r.holder.Load(); again == after || again.Due(r.now) {
		t.Error("an expired certificate was not renewed")
	}
}

func TestIdentityFileIsTheOwnersAndWhole(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(r.dir, IdentityFile)
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	text, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, text[:len(text)/2], 0o600))
	if _, err := ReadIdentity(r.dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("half a file: %v", err)
	}
	if i, err := ReadIdentity(t.TempDir()); i != nil || err != nil {
		t.Errorf("none: %v, %v", i, err)
	}
}

func TestFoundingThatStoppedHalfwayIsFinished(t *testing.T) {
	r := newRig(t)
	must(t, os.Remove(filepath.Join(r.dir, IdentityFile)))
	found, err := r.founder().Recover()
	must(t, err)
	i, err := ReadIdentity(r.dir)
	must(t, err)
	if !found || i == nil || i.Cluster != r.holder.Load().Cluster || i.Node != 1 {
		t.Errorf("found %t, identity %+v", found, i)
	}
	var void *VoidError
	if err := r.founder().Found(t.Context(), "admin"); !errors.As(err, &void) {
		t.Errorf("founded twice: %v", err)
	}
	other := r.founder()
	other.Node = 9
	if found, err := other.Recover(); found || err != nil {
		t.Errorf("a node that founded nothing: %t, %v", found, err)
	}
}

func TestAuthorityKeyOpensOnlyWithTheClusterKey(t *testing.T) {
	r := newRig(t)
	kept, _ := r.views.Authority()
	a, err := OpenAuthority(kept, r.ring)
	must(t, err)
	if !a.Certificate.IsCA || a.Certificate.NotAfter.Sub(r.now) < 9*365*24*time.Hour {
		t.Errorf("authority %+v", a.Certificate)
	}
	other := secret.NewKeyring()
	must(t, other.Add(1, secret.NewClusterKey()))
	if _, err := OpenAuthority(kept, other); err == nil {
		t.Error("another cluster's key opened it")
	}
}

func TestNodeJoinsByATokenOnce(t *testing.T) {
	r := newRig(t)
	text := r.token(event.RoleReplica)
	dir := t.TempDir()
	j, own := r.joining(dir, text, "two")
	identity, err := j.Join(t.Context(), dir)
	must(t, err)
	kept, err := ReadIdentity(dir)
	must(t, err)
	if identity.Node != j.Node || identity.Cluster != r.holder.Load().Cluster || !kept.Own.Equal(identity.Own) {
		t.Errorf("identity %+v", identity)
	}
	if _, err := os.Stat(filepath.Join(dir, JoiningFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what it joined with is still there: %v", err)
	}
	n, ok := r.views.Node(j.Node)
	if !ok || n.Name != "two" || n.Role != event.RoleReplica || n.Address != "127.0.0.1:2" || !bytes.Equal(n.Serial, identity.Own.SerialNumber.Bytes()) {
		t.Errorf("node %+v", n)
	}
	if !slices.Contains(r.members.steps, fmt.Sprintf("add %d", j.Node)) {
		t.Errorf("steps %v: it was not added", r.members.steps)
	}
	key := r.views.ClusterKeys()[0]
	for _, w := range key.Wraps {
		if w.Node == j.Node {
			if _, err := own.Unwrap(key.ID, j.Node, w.Wrapped); err != nil {
				t.Error(err)
			}
			ok = false
		}
	}
	if ok {
		t.Error("no cluster key is wrapped for it")
	}
	var refused *RefusedError
	other := t.TempDir()
	third, _ := r.joining(other, text, "three")
	if _, err := third.Join(t.Context(), other); !errors.As(err, &refused) || !strings.Contains(err.Error(), "used up") {
		t.Errorf("a second node by the same token: %v", err)
	}
	if len(r.views.Nodes()) != 2 {
		t.Errorf("nodes %+v", r.views.Nodes())
	}
}

func TestLostAnswerIsAskedForAgain(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	text := r.token(event.RoleVoter)
	j, _ := r.joining(dir, text, "two")
	if _, err := j.ask(t.Context(), r.mesh.Address()); err != nil { // as if the answer had been lost: nothing is written
		t.Fatal(err)
	}
	again, _ := r.joining(dir, "", "two")
	if again.Node != j.Node {
		t.Fatalf("it asks as node %x, before as %x", again.Node, j.Node)
	}
	if _, err := again.Join(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if len(r.views.Nodes()) != 2 {
		t.Errorf("nodes %+v", r.views.Nodes())
	}
	// The same number with another secret, or after the token's time, is a stranger.
	forged := *again
	forgedToken := *again.Token
	forgedToken.secret[0] ^= 1
	forged.Token = &forgedToken
	var refused *RefusedError
	if _, err := forged.ask(t.Context(), r.mesh.Address()); !errors.As(err, &refused) {
		t.Errorf("another secret: %v", err)
	}
	r.now = r.now.Add(TokenFor + time.Second)
	if _, err := again.ask(t.Context(), r.mesh.Address()); !errors.As(err, &refused) {
		t.Errorf("too late: %v", err)
	}
}

func TestJoinIsRefused(t *testing.T) {
	for _, test := range []struct {
		name, want string
		change     func(*rig, *Joining)
	}{
		{"wrong secret", "not known", func(_ *rig, j *Joining) { j.Token.secret[3] ^= 0x80 }},
		{"expired", "expired", func(r *rig, _ *Joining) { r.now = r.now.Add(TokenFor + time.Second) }},
		{"taken back", "not known", func(r *rig, j *Joining) { must(r.t, r.service.RevokeToken(r.t.Context(), j.Token.ID, "admin")) }},
		{"name of another", "called one already", func(_ *rig, j *Joining) { j.Name = "One" }},
		{"name with spaces", "no name for a node", func(_ *rig, j *Joining) { j.Name = "a b" }},
		{"address of all", "nobody can dial", func(_ *rig, j *Joining) { j.Address = "0.0.0.0:1445" }},
		{"address without port", "no address", func(_ *rig, j *Joining) { j.Address = "example.org" }},
		{"removed", "was removed", func(r *rig, j *Joining) {
			r.propose(&event.NodeJoined{Node: j.Node, Name: "gone", Role: 1})
			r.propose(&event.NodeRemoved{Node: j.Node})
		}},
		{"no wrapping key", "another release", func(_ *rig, j *Joining) { j.Public = j.Public[:31] }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			dir := t.TempDir()
			j, _ := r.joining(dir, r.token(event.RoleVoter), "two")
			test.change(r, j)
			_, err := j.Join(t.Context(), dir)
			var refused *RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want a refusal with %q", err, test.want)
			}
			if n := len(r.views.Nodes()); n != 1 {
				t.Errorf("%d nodes", n)
			}
		})
	}
}

func TestMessagesAreBounded(t *testing.T) {
	r := newRig(t)
	ours, theirs := net.Pipe()
	defer ours.Close()
	done := make(chan struct{})
	go func() { r.service.serveStranger(0, theirs); close(done) }()
	if _, err := ours.Write([]byte{0xff, 0xff, 0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	<-done // it did not wait for four gigabytes
	var b bytes.Buffer
	if err := writeMessage(&b, &request{Name: strings.Repeat("x", maxMessage)}); err == nil || b.Len() > 0 {
		t.Errorf("a message over the bound was written: %v", err)
	}
}

func TestJoiningEndsWithItsContext(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	j, _ := r.joining(dir, r.token(event.RoleVoter), "two")
	must(t, r.mesh.Close())
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("stop")
	cancel(why)
	if _, err := j.Join(ctx, dir); !errors.Is(err, why) {
		t.Errorf("%v, want the context's cause", err)
	}
}

func TestPreparedDirectoryIsKept(t *testing.T) {
	r := newRig(t)
	dir, text := filepath.Join(t.TempDir(), "new"), r.token(event.RoleVoter)
	if err := Prepare(dir, "nonsense"); !errors.Is(err, ErrToken) {
		t.Errorf("%v", err)
	}
	must(t, Prepare(dir, text))
	first, _ := r.joining(dir, "", "two")
	must(t, Prepare(dir, text))
	if same, _ := r.joining(dir, text, "two"); same.Node != first.Node {
		t.Error("the same token made another node of it")
	}
	must(t, Prepare(dir, r.token(event.RoleVoter)))
	if other, _ := r.joining(dir, "", "two"); other.Node == first.Node {
		t.Error("another token asks for the same node, which the first may have taken in")
	}
	if j, err := NewJoining(t.TempDir(), ""); j != nil || err != nil {
		t.Errorf("a directory that nobody prepared: %v, %v", j, err)
	}
	if err := Prepare(r.dir, text); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a directory of a node: %v", err)
	}
}

func TestPlanFollowsTheViews(t *testing.T) {
	voter, replica := uint32(event.RoleVoter), uint32(event.RoleReplica)
	for _, test := range []struct {
		name   string
		nodes  map[uint64]uint32 // role; 0: removed; node 1 is a voter
		voters []uint64
		others []uint64 // members that do not vote
		ready  []uint64
		leader uint64
		want   []string
	}{
		{name: "alone", voters: []uint64{1}},
		{name: "joined", nodes: map[uint64]uint32{2: voter}, voters: []uint64{1}, want: []string{"add 2"}},
		{name: "one waits for another", nodes: map[uint64]uint32{2: voter}, voters: []uint64{1}, others: []uint64{2}, ready: []uint64{2}},
		{name: "two together", nodes: map[uint64]uint32{2: voter, 3: voter}, voters: []uint64{1}, others: []uint64{2, 3}, ready: []uint64{2, 3}, want: []string{"promote 2", "promote 3"}},
		{name: "one of two is not near", nodes: map[uint64]uint32{2: voter, 3: voter}, voters: []uint64{1}, others: []uint64{2, 3}, ready: []uint64{3}},
		{name: "replicas stay", nodes: map[uint64]uint32{2: replica, 3: replica}, voters: []uint64{1}, others: []uint64{2, 3}, ready: []uint64{2, 3}},
		{name: "replaced", nodes: map[uint64]uint32{2: voter, 3: 0, 4: voter}, voters: []uint64{1, 2}, others: []uint64{4}, ready: []uint64{4}, want: []string{"promote 4"}},
		{name: "removed", nodes: map[uint64]uint32{2: voter, 3: 0}, voters: []uint64{1, 2, 3}, want: []string{"remove 3"}},
		{name: "removed and replaced at once", nodes: map[uint64]uint32{2: voter, 3: 0, 4: voter}, voters: []uint64{1, 2, 3}, others: []uint64{4}, ready: []uint64{4}, want: []string{"remove 3", "promote 4"}},
		{name: "demoted", nodes: map[uint64]uint32{2: voter, 3: replica}, voters: []uint64{1, 2, 3}, want: []string{"demote 3"}},
		{name: "the leader goes", nodes: map[uint64]uint32{2: voter, 3: 0}, voters: []uint64{1, 2, 3}, leader: 3, want: []string{"transfer 0"}},
		{name: "the last voter stays", nodes: map[uint64]uint32{2: replica}, voters: []uint64{2}, others: []uint64{1}, leader: 2},
		{
			name: "seven at most", nodes: map[uint64]uint32{2: voter, 3: voter, 4: voter, 5: voter, 6: voter, 7: voter, 8: voter, 9: voter},
			voters: []uint64{1, 2, 3, 4, 5, 6, 7}, others: []uint64{8, 9}, ready: []uint64{8, 9},
		},
		{
			name: "up to seven", nodes: map[uint64]uint32{2: voter, 3: voter, 4: voter, 5: voter, 6: voter, 7: voter, 8: voter, 9: voter},
			voters: []uint64{1, 2, 3, 4, 5}, others: []uint64{6, 7, 8, 9}, ready: []uint64{6, 7, 8, 9}, want: []string{"promote 6", "promote 7"},
		},
		{name: "a member that the views do not know stays", voters: []uint64{1}, others: []uint64{42}, ready: []uint64{42}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			for node, role := range test.nodes {
				r.propose(&event.NodeJoined{Node: node, Name: fmt.Sprint("n", node), Address: "a:1", Role: max(role, 1)})
				if role == 0 {
					r.propose(&event.NodeRemoved{Node: node})
				}
			}
			if test.name == "the last voter stays" {
				r.propose(&event.NodeChanged{Node: 1, Role: replica})
			}
			var members []raftstore.Member
			for _, node := range test.voters {
				members = append(members, raftstore.Member{Node: node, Voter: true})
			}
			for _, node := range test.others {
				members = append(members, raftstore.Member{Node: node})
			}
			ready := map[uint64]bool{}
			for _, node := range test.ready {
				ready[node] = true
			}
			var got []string
			for _, s := range plan(r.views, max(test.leader, 1), members, ready) {
				got = append(got, fmt.Sprintf("%s %d", s.what, s.node))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("plan %v, want %v", got, test.want)
			}
		})
	}
}

func TestMembersVoteWhenTheyAreStable(t *testing.T) {
	r := newRig(t)
	for node := uint64(2); node <= 3; node++ {
		r.propose(&event.NodeJoined{Node: node, Name: fmt.Sprint("n", node), Address: "a:1", Role: uint32(event.RoleVoter)})
	}
	r.members.status[2] = raftstore.MemberStatus{Applied: 1000}
	r.members.status[3] = raftstore.MemberStatus{Applied: 1000 - maxTrailing - 1}
	steps := func() []string {
		t.Helper()
		r.members.steps = nil
		r.service.look(t.Context())
		return r.members.steps
	}
	if got := steps(); !slices.Equal(got, []string{"add 2", "add 3"}) {
		t.Fatalf("steps %v", got)
	}
	steps() // node 2 is near from here on
	r.now = r.now.Add(stableFor)
	r.members.status[3] = raftstore.MemberStatus{Applied: 1000 - maxTrailing}
	if got := steps(); len(got) > 0 { // and node 3 from here
		t.Fatalf("steps %v, but node 3 was far behind until now", got)
	}
	r.now = r.now.Add(stableFor - time.Second)
	delete(r.members.status, 3)
	steps() // it did not answer: its time begins anew
	r.members.status[3] = raftstore.MemberStatus{Applied: 999}
	r.now = r.now.Add(time.Second)
	if got := steps(); len(got) > 0 {
		t.Fatalf("steps %v, but node 3 has just come back", got)
	}
	r.now = r.now.Add(stableFor)
	if got := steps(); !slices.Equal(got, []string{"promote 2", "promote 3"}) {
		t.Fatalf("steps %v", got)
	}
	r.members.leads = false
	r.propose(&event.NodeRemoved{Node: 3})
	if got := steps(); len(got) > 0 {
		t.Fatalf("steps %v of a node that does not lead", got)
	}
	r.members.leads = true
	if got := steps(); !slices.Equal(got, []string{"remove 3"}) {
		t.Fatalf("steps %v", got)
	}
}

func TestLastVoterCannotGo(t *testing.T) {
	r := newRig(t)
	n, err := r.service.Find("ONE")
	must(t, err)
	if err := r.service.Remove(t.Context(), n, "admin"); !errors.Is(err, ErrRefused) {
		t.Errorf("removed: %v", err)
	}
	if err := r.service.SetRole(t.Context(), n, event.RoleReplica, "admin"); !errors.Is(err, ErrRefused) {
		t.Errorf("demoted: %v", err)
	}
	r.propose(&event.NodeJoined{Node: 2, Name: "two", Address: "a:1", Role: uint32(event.RoleVoter)})
	r.members.list = append(r.members.list, raftstore.Member{Node: 2, Voter: true})
	must(t, r.service.Remove(t.Context(), n, "admin"))
	if !slices.Equal(r.members.steps, []string{"transfer 0"}) || !r.views.NodeRemoved(1) {
		t.Errorf("steps %v before the leader was removed", r.members.steps)
	}
	if _, err := r.service.Find("one"); err == nil {
		t.Error("a removed node is found")
	}
	if n, err := r.service.Find("0000000000000002"); err != nil || n.Name != "two" {
		t.Errorf("by number: %+v, %v", n, err)
	}
}

func TestTokensAreBounded(t *testing.T) {
	r := newRig(t)
	for _, term := range []time.Duration{time.Second, 25 * time.Hour} {
		if _, _, err := r.service.MakeToken(t.Context(), event.RoleVoter, term, "admin"); !errors.Is(err, ErrRefused) {
			t.Errorf("a token for %s: %v", term, err)
		}
	}
	for range maxTokens {
		r.token(event.RoleVoter)
	}
	if _, _, err := r.service.MakeToken(t.Context(), event.RoleVoter, 0, "admin"); !errors.Is(err, ErrRefused) {
		t.Errorf("one token too many: %v", err)
	}
}

// After a leader's clock had jumped ahead, records are stamped with a time that is ahead, and tokens are measured by it.
func TestTokenOutlastsATimeOfTheLogThatIsAhead(t *testing.T) {
	r := newRig(t)
	r.log.clock = func() time.Time { return r.now.Add(48 * time.Hour) }
	r.token(event.RoleVoter)
	dir := t.TempDir()
	j, _ := r.joining(dir, r.token(event.RoleReplica), "two")
	if _, err := j.Join(t.Context(), dir); err != nil {
		t.Error(err)
	}
}
