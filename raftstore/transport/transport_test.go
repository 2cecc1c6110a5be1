package transport

import (
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// The node that takes a state over begins again; it may not before the leader knows, who would send the state again.
func TestAnswerToAStateIsToldOf(t *testing.T) {
	a := newAuthority(t)
	sent := make(chan uint64, 1)
	leader := New(1, listen(t, a, a.node(t, 1), nil), nil, Hooks{Sending: func(_, index uint64) error { sent <- index; return nil }})
	answered := make(chan struct{}, 1)
	member := New(2, listen(t, a, a.node(t, 2), nil), nil, Hooks{Answered: func() { answered <- struct{}{} }})
	t.Cleanup(func() { _, _ = leader.Close(), member.Close() })

	const state = "rows"
	var answer raft.InstallSnapshotResponse
	done := make(chan error, 1)
	go func() {
		done <- leader.InstallSnapshot(ID(2), member.LocalAddr(), &raft.InstallSnapshotRequest{
			RPCHeader: raft.RPCHeader{ID: []byte(ID(1))}, LastLogIndex: 7, Size: int64(len(state)),
		}, &answer, strings.NewReader(state))
	}()
	call := <-member.Consumer()
	if index := <-sent; index != 7 {
		t.Errorf("asked before the state at entry %d was sent, want 7", index)
	}
	got, err := io.ReadAll(call.Reader)
	if err != nil || string(got) != state {
		t.Errorf("received %q (%v), want %q", got, err, state)
	}
	select {
	case <-answered:
		t.Error("told of an answer before it was given")
	default:
	}
	call.Respond(&raft.InstallSnapshotResponse{Success: true}, nil)
	<-answered
	if err := <-done; err != nil || !answer.Success {
		t.Errorf("the leader was answered %+v (%v)", answer, err)
	}
}
