package cluster

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"trine/engine/event"
	"trine/engine/secret"
	"trine/engine/state"
)

type (
	eventMessage = proto.Message
	certificate  = x509.Certificate
)

// buildProposal makes a proposal of events about the cluster.
func buildProposal(events ...eventMessage) ([]byte, error) {
	var b event.Builder
	for _, m := range events {
		var streams []uint64
		switch e := m.(type) {
		case *event.NodeJoined:
			streams = streamOf(e.Node)
		case *event.NodeChanged:
			streams = streamOf(e.Node)
		case *event.NodeRemoved:
			streams = streamOf(e.Node)
		}
		if err := b.Add(event.TypeOf(m), event.ClassSystem, streams, m); err != nil {
			return nil, fmt.Errorf("record a change of the cluster: %w", err)
		}
	}
	return b.Bytes(), nil
}

// Founder is a lone node that becomes the first of a cluster.
type Founder struct {
	Data    string
	Node    uint64
	Name    string
	Address string // where others will reach it
	Public  []byte // of the node's own key
	Version string
	Log     Log
	Views   *state.State
	Keyring *secret.Keyring
	Clock   func() time.Time
}

// Found makes the authority and records the cluster with its first node. The node has to start again, as one of a cluster; what it then proves itself by
// is in its data directory, or made there by [Founder.Recover].
func (f *Founder) Found(ctx context.Context, by string) error {
	if err := checkAddress(f.Address); err != nil {
		return err
	}
	if err := checkName(f.Name); err != nil {
		return err
	}
	now := f.Clock()
	a, err := NewAuthority(now)
	if err != nil {
		return err
	}
	sealed, err := a.Seal(f.Keyring)
	if err != nil {
		return err
	}
	i, err := f.certified(a, now)
	if err != nil {
		return err
	}
	b, err := buildProposal(
		&event.ClusterFounded{Cluster: a.Cluster, Authority: a.Certificate.Raw, Key: sealed, By: by},
		&event.NodeJoined{
			Node: f.Node, Name: f.Name, Address: f.Address, Role: uint32(event.RoleVoter), Public: f.Public, Serial: i.Own.SerialNumber.Bytes(),
			ExpiresUnix: i.Own.NotAfter.Unix(), Version: f.Version, By: by,
		})
	if err != nil {
		return err
	}
	_, r, err := f.Log.ProposeWait(ctx, b)
	if err != nil {
		return fmt.Errorf("found the cluster: %w", err)
	}
	if r.Code != 0 {
		return &VoidError{r.Detail}
	}
	return i.Write(f.Data)
}

// Recover writes what the node proves itself by, where the log says that it founded a cluster and the data directory does not: it stopped between the two.
// It returns false where there is nothing to do.
func (f *Founder) Recover() (bool, error) {
	kept, ok := f.Views.Authority()
	if n, known := f.Views.Node(f.Node); !ok || !known || !n.Removed.IsZero() {
		return false, nil
	}
	a, err := OpenAuthority(kept, f.Keyring)
	if err != nil {
		return false, err
	}
	i, err := f.certified(a, f.Clock())
	if err != nil {
		return false, err
	}
	return true, i.Write(f.Data)
}

func (f *Founder) certified(a *Authority, now time.Time) (*Identity, error) {
	key, request, err := NewKey()
	if err != nil {
		return nil, err
	}
	own, err := a.Certify(f.Node, f.Name, request, now)
	if err != nil {
		return nil, err
	}
	return NewIdentity(key, own, a.Certificate)
}
