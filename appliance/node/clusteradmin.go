package node

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"trine/appliance/admin"
	"trine/appliance/admin/api"
	"trine/appliance/cluster"
	"trine/engine/event"
	"trine/engine/state"
	"trine/raftstore"
)

// adminCluster lets the administration see and change the cluster.
type adminCluster struct{ n *Node }

var _ admin.Cluster = adminCluster{}

// View implements admin.Cluster.
func (a adminCluster) View(ctx context.Context) api.Cluster {
	out := api.Cluster{Nodes: []api.ClusterNode{}, Tokens: []api.JoinToken{}}
	kept, ok := a.n.views.Authority()
	if !ok || a.n.care == nil {
		return out
	}
	out.Cluster, out.Founded = kept.Cluster, optional(kept.Founded)
	out.Authority = optional(a.n.identity.Load().Authority.NotAfter)
	nodes := a.n.care.Nodes(ctx)
	var last uint64
	for i := range nodes {
		last = max(last, nodes[i].Status.Commit, nodes[i].Status.Applied)
	}
	for i := range nodes {
		out.Nodes = append(out.Nodes, nodeView(&nodes[i], last))
	}
	now := a.n.clock()
	for _, t := range a.n.views.JoinTokens() {
		out.Tokens = append(out.Tokens, api.JoinToken{ID: t.ID, Role: t.Role.String(), Expires: t.Expires, Expired: t.Expired(now), By: t.By})
	}
	return out
}

func nodeView(v *cluster.NodeView, last uint64) api.ClusterNode {
	out := api.ClusterNode{
		Node: fmt.Sprintf("%016x", v.Node.Node), Name: v.Name, Address: v.Address, Role: v.Role.String(), Votes: v.Voter, Leader: v.Leader, Self: v.Self,
		Version: v.Version, Joined: v.Joined, By: v.By, CertificateSerial: hex.EncodeToString(v.Serial), CertificateExpires: v.Expires, Answers: v.Ready, Trouble: v.Trouble,
	}
	if v.Ready {
		st := &v.Status
		out.State, out.Term, out.Committed, out.Applied, out.Lag, out.SealIndex = st.State, st.Term, st.Commit, st.Applied, last-st.Applied, st.SealIndex
		out.HistoryFrom, out.Diverged, out.DiskFree, out.DiskLevel = st.Complete, st.Diverged, st.DiskFree, st.DiskLevel
	}
	return out
}

// Found implements admin.Cluster.
func (a adminCluster) Found(ctx context.Context, by string) error {
	if a.n.settings.ClusterListen == "" {
		return api.NewProblem(http.StatusConflict, api.ReasonCluster, "this node has no address for other nodes; start it with --cluster-listen, then found the cluster")
	}
	if err := a.n.founder(a.n.own).Found(ctx, by); err != nil {
		return clusterError(err)
	}
	a.n.startAgain("it founded a cluster")
	return nil
}

// service returns the care for the cluster, or why there is none.
func (a adminCluster) service() (*cluster.Service, error) {
	if a.n.care == nil {
		return nil, api.NewProblem(http.StatusConflict, api.ReasonCluster, "this node is alone; `trine cluster init` makes it the first of a cluster")
	}
	return a.n.care, nil
}

// MakeToken implements admin.Cluster.
func (a adminCluster) MakeToken(ctx context.Context, role event.NodeRole, term time.Duration, by string) (*api.NewJoinToken, error) {
	care, err := a.service()
	if err != nil {
		return nil, err
	}
	t, expires, err := care.MakeToken(ctx, role, term, by)
	if err != nil {
		return nil, clusterError(err)
	}
	text, err := t.Text()
	if err != nil {
		return nil, err
	}
	return &api.NewJoinToken{JoinToken: api.JoinToken{ID: t.ID, Role: role.String(), Expires: expires.UTC(), By: by}, Token: text}, nil
}

// RevokeToken implements admin.Cluster.
func (a adminCluster) RevokeToken(ctx context.Context, id, by string) error {
	care, err := a.service()
	if err != nil {
		return err
	}
	return clusterError(care.RevokeToken(ctx, id, by))
}

// SetRole implements admin.Cluster.
func (a adminCluster) SetRole(ctx context.Context, name string, role event.NodeRole, by string) error {
	return a.with(name, func(care *cluster.Service, n state.Node) error { return care.SetRole(ctx, n, role, by) })
}

// Remove implements admin.Cluster.
func (a adminCluster) Remove(ctx context.Context, name, by string) error {
	return a.with(name, func(care *cluster.Service, n state.Node) error { return care.Remove(ctx, n, by) })
}

// Transfer implements admin.Cluster.
func (a adminCluster) Transfer(ctx context.Context, name string) error {
	if name == "" {
		care, err := a.service()
		if err != nil {
			return err
		}
		return clusterError(care.Transfer(ctx, state.Node{}))
	}
	return a.with(name, func(care *cluster.Service, n state.Node) error { return care.Transfer(ctx, n) })
}

func (a adminCluster) with(name string, do func(*cluster.Service, state.Node) error) error {
	care, err := a.service()
	if err != nil {
		return err
	}
	n, err := care.Find(name)
	if err != nil {
		return api.NewProblem(http.StatusNotFound, api.ReasonNotFound, "%v", err)
	}
	return clusterError(do(care, n))
}

// clusterError turns an error into the administration's.
func clusterError(err error) error {
	var void *cluster.VoidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &void):
		return api.NewProblem(http.StatusConflict, api.ReasonConflict, "%v", err)
	case errors.Is(err, cluster.ErrRefused), errors.Is(err, raftstore.ErrLastVoter), errors.Is(err, raftstore.ErrNotMember):
		return api.NewProblem(http.StatusConflict, api.ReasonCluster, "%v", err)
	}
	return adminError(err)
}

// clusterStats returns what counts the cluster, or nil where the node is alone.
func (n *Node) clusterStats() func() admin.ClusterStats {
	if n.care == nil {
		return nil
	}
	return func() admin.ClusterStats {
		own, m := n.identity.Load(), n.mesh.Stats()
		out := admin.ClusterStats{Expires: own.Own.NotAfter, Authority: own.Authority.NotAfter, Open: m.Open, Streams: []admin.Count{
			{Label: "opened", Count: m.Dialled},
			{Label: "not opened", Count: m.DialFailed},
			{Label: "served", Count: m.Served},
			{Label: "handshake failed", Count: m.Failed},
			{Label: "crowded out", Count: m.Crowded},
			{Label: "of removed nodes", Count: m.Removed},
			{Label: "refused", Count: m.Refused},
		}}
		statuses := map[uint64]raftstore.MemberStatus{}
		var last uint64
		for _, st := range n.care.Statuses() {
			statuses[st.Node] = st
			last = max(last, st.Applied, st.Commit)
		}
		members := map[uint64]raftstore.Member{}
		for _, member := range n.store.Members() {
			members[member.Node] = member
		}
		for _, of := range n.views.Nodes() {
			st, known := statuses[of.Node]
			member := members[of.Node]
			out.Members = append(out.Members, admin.MemberStats{
				Name: of.Name, Role: of.Role.String(), Votes: member.Voter, Leader: member.Leader, Known: known, Lag: last - st.Applied, Expires: of.Expires,
			})
		}
		return out
	}
}
