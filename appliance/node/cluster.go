package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"trine/appliance/cluster"
	"trine/engine/secret"
	"trine/raftstore/transport"
)

// againError ends one life of a node that begins another within the same process.
type againError struct{ reason string }

func (e *againError) Error() string { return "the node starts again: " + e.reason }

// errRemoved ends a node that is out of its cluster.
var errRemoved = errors.New("this node was removed from its cluster; to come back it joins anew, with an empty data directory and a new token")

// progressEvery is how often a joining node says how far it is.
const progressEvery = 5 * time.Second

// startAgain has the node stop and start anew, once this life is over.
func (n *Node) startAgain(reason string) {
	select {
	case n.again <- reason:
	default: // it does already
	}
	n.ended(&againError{reason})
}

// enterCluster joins a cluster if the node is told to, and opens the port to the other nodes if it is one of a cluster.
func (n *Node) enterCluster(ctx context.Context, own *secret.NodeKey) error {
	s := n.settings
	identity, err := cluster.ReadIdentity(s.Data)
	if err != nil {
		return err
	}
	if identity != nil && s.Join != "" {
		n.logger.Info("this node has joined already; the token is not looked at", "cluster", identity.Cluster)
	}
	if identity == nil {
		if identity, err = n.join(ctx, own); err != nil {
			return err
		}
	}
	if identity == nil {
		return nil
	}
	if s.ClusterListen == "" {
		return fmt.Errorf("%s says that this node is one of cluster %s, and cluster-listen has no address at which the others reach it; set it", filepath.Join(s.Data, cluster.IdentityFile), identity.Cluster)
	}
	n.identity.Store(identity)
	if now := n.clock(); now.After(identity.Own.NotAfter) {
		n.logger.Warn("the certificate by which this node proves itself to the others has expired; it is renewed once its state is loaded", "expired", identity.Own.NotAfter)
	}
	n.mesh, err = transport.Listen(transport.Config{
		Listen: s.ClusterListen, Address: s.clusterAddress(), Cluster: identity.Cluster, Authority: identity.Authority,
		Certificate: func() *tls.Certificate { return n.identity.Load().Certificate() },
		Removed:     n.views.NodeRemoved, Clock: n.clock, Logger: n.logger,
	})
	if err != nil {
		return fmt.Errorf("%w; choose another address with --cluster-listen", err)
	}
	go func() { // until the start is over, or the node is
		select {
		case <-n.mesh.Out():
			n.ended(errRemoved)
		case <-ctx.Done():
		}
	}()
	return nil
}

// join has the cluster take this node in; nil if it is not told to join.
func (n *Node) join(ctx context.Context, own *secret.NodeKey) (*cluster.Identity, error) {
	s := n.settings
	waiting := filepath.Join(s.Data, cluster.JoiningFile)
	if _, err := os.Stat(waiting); s.Join == "" && err != nil {
		return nil, nil
	}
	log := filepath.Join(s.Data, logDirectory)
	if _, err := os.Stat(filepath.Join(log, "node.json")); err == nil {
		return nil, fmt.Errorf("%s holds a log already: a node joins a cluster with an empty data directory; choose another with --data, or start without a token (and without %s)", log, waiting)
	}
	if s.ClusterListen == "" {
		return nil, errors.New("a node that joins a cluster needs cluster-listen: the address at which the others reach it")
	}
	joining, err := cluster.NewJoining(s.Data, s.Join)
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	// What would keep it from answering is found before the token is used up.
	l, err := net.Listen("tcp", s.ClusterListen)
	if err != nil {
		return nil, fmt.Errorf("open the cluster's port: %w; choose another address with --cluster-listen", err)
	}
	if err := l.Close(); err != nil {
		return nil, fmt.Errorf("open the cluster's port: %w", err)
	}
	joining.Name, joining.Address, joining.Public, joining.Version = s.NodeName, s.clusterAddress(), own.Public(), Version()
	joining.Clock, joining.Logger = n.clock, n.logger
	n.logger.Info("joining", "cluster", joining.Token.Cluster, "members", joining.Token.Addresses, "name", joining.Name, "address", joining.Address)
	identity, err := joining.Join(ctx, s.Data)
	if err != nil {
		return nil, err
	}
	n.logger.Info("joined; the cluster's state comes next", "cluster", identity.Cluster, "node", fmt.Sprintf("%016x", identity.Node))
	return identity, nil
}

// awaitKeys waits until the state of the cluster has come that this node joined, its keys included.
func (n *Node) awaitKeys(ctx context.Context) error {
	if n.mesh == nil {
		return nil
	}
	wrapped := func() bool {
		for _, key := range n.views.ClusterKeys() {
			for _, wrap := range key.Wraps {
				if wrap.Node == n.identity.Load().Node {
					return true
				}
			}
		}
		return false
	}
	look, tell := time.NewTicker(50*time.Millisecond), time.NewTicker(progressEvery)
	defer look.Stop()
	defer tell.Stop()
	for !wrapped() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-look.C:
		case <-tell.C:
			st := n.store.Status()
			n.logger.Info("waiting for the cluster's state", "leader", st.Leader, "applied", st.Applied, "last", st.Last, "first", st.First)
			notify(n.logger, "EXTEND_TIMEOUT_USEC=60000000")
		}
	}
	return nil
}

// founder is this node as the first of a cluster.
func (n *Node) founder(own *secret.NodeKey) *cluster.Founder {
	return &cluster.Founder{
		Data: n.settings.Data, Node: n.store.Status().Node, Name: n.settings.NodeName, Address: n.settings.clusterAddress(), Public: own.Public(), Version: Version(),
		Log: n.store, Views: n.views, Keyring: n.keyring, Clock: n.clock,
	}
}

// settleCluster renews a certificate that is due before anybody is to believe it, and finishes a founding that was interrupted.
func (n *Node) settleCluster(own *secret.NodeKey) error {
	if n.mesh == nil {
		found, err := n.founder(own).Recover()
		switch {
		case err != nil:
			return fmt.Errorf("finish the founding of the cluster: %w", err)
		case found && n.settings.ClusterListen != "":
			return &againError{"it founded a cluster"}
		}
		return nil
	}
	identity, now := n.identity.Load(), n.clock()
	if !identity.Due(now) {
		return nil
	}
	next, err := cluster.Renew(identity, n.views, n.keyring, now)
	if err == nil {
		err = next.Write(n.settings.Data)
	}
	if err != nil {
		return fmt.Errorf("renew the node's certificate: %w", err)
	}
	n.identity.Store(next)
	n.logger.Info("the node's certificate was renewed", "expires", next.Own.NotAfter)
	return nil
}

// careForCluster starts what looks after the cluster on this node.
func (n *Node) careForCluster(ctx context.Context) {
	if n.mesh == nil {
		return
	}
	n.care = cluster.NewService(cluster.Config{
		Data: n.settings.Data, Name: n.settings.NodeName, Version: Version(), Views: n.views, Log: n.store, Members: n.store, Mesh: n.mesh, Keyring: n.keyring,
		Holder: &n.identity, Clock: n.clock, Logger: n.logger,
	})
	n.background.Go(func() { n.care.Run(ctx) })
}

// clusterAddress is where other nodes reach this one: as is said, or else where it listens.
func (s *Settings) clusterAddress() string {
	if s.ClusterAddress != "" {
		return s.ClusterAddress
	}
	return s.ClusterListen
}

// checkCluster returns what is wrong with the settings of the cluster.
func (s *Settings) checkCluster() (wrong []error) {
	if s.ClusterListen == "" {
		if s.ClusterAddress != "" {
			wrong = append(wrong, errors.New("cluster-address is used with cluster-listen, which has no address"))
		}
		if s.Join != "" {
			wrong = append(wrong, errors.New("join is used with cluster-listen, which has no address"))
		}
		return wrong
	}
	at, err := netip.ParseAddrPort(s.ClusterListen)
	switch {
	case err != nil:
		wrong = append(wrong, fmt.Errorf("cluster-listen: %q is not an address with a port, such as 192.0.2.1:1445 or [::]:1445", s.ClusterListen))
	case s.ClusterAddress == "" && (at.Addr().IsUnspecified() || at.Port() == 0):
		wrong = append(wrong, fmt.Errorf("cluster-listen: others cannot dial %s; say with cluster-address where they reach this node", s.ClusterListen))
	}
	if s.ClusterAddress != "" {
		if host, port, err := net.SplitHostPort(s.ClusterAddress); err != nil || host == "" || port == "" || port == "0" {
			wrong = append(wrong, fmt.Errorf("cluster-address: %q is no name or address with a port, such as node1.example.org:1445", s.ClusterAddress))
		}
	}
	if s.Join != "" {
		if _, err := cluster.ParseToken(s.Join); err != nil {
			wrong = append(wrong, fmt.Errorf("join: %w", err))
		}
	}
	return wrong
}
