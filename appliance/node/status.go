package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"trine/appliance/admin/api"
	"trine/engine/document"
)

// status says how the node is, for `trine status` and the API.
func (n *Node) status() api.Status {
	store := n.store.Status()
	s := api.Status{
		Node: n.settings.NodeName, Version: Version(), Started: n.started, Ready: true,
		Log: api.LogStatus{
			Role: store.State, Leader: store.Leader, Term: store.Term, Applied: store.Applied, Committed: store.Commit,
			AppliedAt: optional(store.AppliedTime), SealIndex: store.SealIndex, SealedAt: optional(store.SealTime), DiskFree: store.DiskFree,
			Queue: store.Queue,
		},
		Documents: map[string]int{},
		Sessions:  n.views.Counts().Sessions,
	}
	around := adminCluster{n}.View(context.Background()) // bounded
	s.Cluster, s.Members = around.Cluster, around.Nodes
	if store.Diverged != "" {
		s.Conditions = append(s.Conditions, store.Diverged)
	}
	if store.HistoryComplete > 1 {
		s.Conditions = append(s.Conditions, fmt.Sprintf("history is complete from entry %d; what is before it comes from the other nodes", store.HistoryComplete))
	}
	for _, epoch := range store.Epochs {
		s.Log.HistoryBytes += int64(epoch.Bytes)
	}
	if err := n.ready(); err != nil {
		s.Ready, s.NotReady = false, err.Error()
	}
	cache := n.policies.Holder().Load()
	s.Policy = api.PolicyStatus{Index: cache.Index, Built: cache.Built}
	for _, b := range n.policies.Broken() {
		s.Policy.Broken = append(s.Policy.Broken, b.Kind+"/"+b.Name)
		s.Conditions = append(s.Conditions, fmt.Sprintf("%s %s cannot be used and rejects what it decides: %v", b.Kind, b.Name, b.Err))
	}
	for _, kind := range document.Kinds() {
		s.Documents[kind.Name] = n.views.Count(kind.Name)
	}
	switch store.DiskLevel {
	case 1:
		s.Conditions = append(s.Conditions, "free disk space is getting low")
	case 2:
		s.Conditions = append(s.Conditions, "free disk space is low: the log is not sealed until there is more")
	case 3:
		s.Conditions = append(s.Conditions, "too little free disk space: records are refused until there is more; logins go on")
	}
	if front := n.web.Load(); front != nil {
		for _, port := range front.UnusedPorts() {
			s.Conditions = append(s.Conditions, fmt.Sprintf("no listener of this node has the port of the identity provider %s, so what it says about that port counts for nothing here", port))
		}
	}
	if n.geo != nil {
		if problem := n.geo.problem.Load(); problem != nil {
			s.Conditions = append(s.Conditions, fmt.Sprintf("the geo database of %s stays in use: %s", n.geo.holder.Load().Built().Format(time.DateOnly), *problem))
		}
	}
	if missing := n.engine.Stats().DecisionsMissing; missing > 0 {
		s.Conditions = append(s.Conditions, fmt.Sprintf("%d decisions could not be recorded since the start", missing))
	}
	if n.radius.Load() != nil {
		a := n.Addresses()
		for _, address := range a.RadiusAuthentication {
			s.Listeners = append(s.Listeners, api.ListenerStatus{Name: "radius authentication", Address: address})
		}
		for _, address := range a.RadiusAccounting {
			s.Listeners = append(s.Listeners, api.ListenerStatus{Name: "radius accounting", Address: address})
		}
		for _, address := range a.Tacacs {
			s.Listeners = append(s.Listeners, api.ListenerStatus{Name: "tacacs", Address: address})
		}
		for _, address := range a.TacacsTLS {
			s.Listeners = append(s.Listeners, api.ListenerStatus{Name: "tacacs over TLS", Address: address})
		}
		if a.Cluster != "" {
			s.Listeners = append(s.Listeners, api.ListenerStatus{Name: "cluster", Address: a.Cluster})
		}
		s.Listeners = append(s.Listeners, api.ListenerStatus{Name: "management", Address: "https://" + a.Management})
	}
	return s
}

// ready returns nil if the node answers logins, else why not. A node without a leader answers those that need no record.
func (n *Node) ready() error {
	select {
	case <-n.serving:
		return nil
	default:
		return errors.New("the node is starting")
	}
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
