package node

import (
	"context"
	"fmt"

	"trine/engine/event"
	"trine/engine/secret"
	"trine/engine/state"
	"trine/raftstore"
)

// firstClusterKey is the id of the key that a cluster begins with.
const firstClusterKey = 1

// openKeys fills the ring with the cluster keys that are wrapped for this node; on a cluster's first start it makes the first.
// The store's log must be applied up to now. A node for which no key is wrapped cannot serve.
func openKeys(ctx context.Context, ring *secret.Keyring, own *secret.NodeKey, node uint64, views *state.State, store *raftstore.Store) error {
	if len(views.ClusterKeys()) == 0 {
		if err := makeFirstKey(ctx, own, node, store); err != nil {
			return err
		}
	}
	for _, key := range views.ClusterKeys() {
		for _, wrap := range key.Wraps {
			if wrap.Node != node {
				continue
			}
			plain, err := own.Unwrap(key.ID, node, wrap.Wrapped)
			if err != nil {
				return fmt.Errorf("unwrap cluster key %d: %w; was node.key replaced by another node's?", key.ID, err)
			}
			if err := ring.Add(key.ID, plain); err != nil {
				return err
			}
		}
	}
	if _, ok := ring.Newest(); !ok {
		return fmt.Errorf("no cluster key is wrapped for this node: its data directory comes from another node")
	}
	return nil
}

func makeFirstKey(ctx context.Context, own *secret.NodeKey, node uint64, store *raftstore.Store) error {
	fresh := secret.NewKeyring()
	if err := fresh.Add(firstClusterKey, secret.NewClusterKey()); err != nil {
		return err
	}
	wrapped, err := fresh.Wrap(firstClusterKey, node, own.Public())
	if err != nil {
		return fmt.Errorf("wrap the first cluster key: %w", err)
	}
	var b event.Builder
	b.Reset()
	if err := b.Add(event.TypeClusterKeyAdded, event.ClassSystem, nil, &event.ClusterKeyAdded{
		Id: firstClusterKey, Wraps: []*event.ClusterKeyAdded_Wrap{{Node: node, Wrapped: wrapped}},
	}); err != nil {
		return fmt.Errorf("record the first cluster key: %w", err)
	}
	outcome, err := propose(ctx, store, b.Bytes())
	if err != nil {
		return fmt.Errorf("record the first cluster key: %w", err)
	}
	if outcome.Code != 0 && outcome.Code != event.CodeConflict { // another node may have been first
		return fmt.Errorf("record the first cluster key: %s", outcome.Detail)
	}
	return nil
}
