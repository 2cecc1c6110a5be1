package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"trine/appliance/admin/api"
	"trine/engine/event"
)

// Cluster is what this node knows of its cluster, and how it is changed. Nodes are named by their names or numbers. Errors are problems as the API
// answers them, or those of a [Log].
type Cluster interface {
	// View returns the cluster; without an id where the node is alone.
	View(ctx context.Context) api.Cluster
	// Found makes a lone node the first of a cluster. It starts again after that.
	Found(ctx context.Context, by string) error
	// MakeToken makes a token by which one node may join; term 0: as long as is usual.
	MakeToken(ctx context.Context, role event.NodeRole, term time.Duration, by string) (*api.NewJoinToken, error)
	// RevokeToken takes a token back.
	RevokeToken(ctx context.Context, id, by string) error
	// SetRole says what a node is to be.
	SetRole(ctx context.Context, node string, role event.NodeRole, by string) error
	// Remove takes a node out for ever.
	Remove(ctx context.Context, node, by string) error
	// Transfer lets another node lead; empty: whoever has the most of the log.
	Transfer(ctx context.Context, node string) error
}

func (s *Server) registerCluster(a huma.API) {
	change := []string{ScopeCluster}
	register(a, operation{
		id: "getCluster", method: http.MethodGet, path: "/cluster", tag: "Cluster", summary: "Say which nodes there are and how they stand", scopes: []string{ScopeCluster, ScopeRead},
		about: "Every node is asked how it stands, for a second at most.",
	}, func(ctx context.Context, _ *Call) (*answer[api.Cluster], error) {
		if s.cfg.Cluster == nil {
			return nil, errNoCluster()
		}
		return &answer[api.Cluster]{Body: s.cfg.Cluster.View(ctx)}, nil
	})
	register(a, operation{
		id: "foundCluster", method: http.MethodPost, path: "/cluster", tag: "Cluster", summary: "Make a lone node the first of a cluster", status: http.StatusAccepted, scopes: change,
		about: "The node makes the cluster's authority and starts again within its process, which takes a moment.",
	}, func(ctx context.Context, in *Call) (*nothing, error) {
		return s.clusterDo(func(c Cluster) error { return c.Found(ctx, in.caller.By) })
	})
	register(a, operation{
		id: "createJoinToken", method: http.MethodPost, path: "/cluster/tokens", tag: "Cluster", summary: "Make a token by which one node may join", status: http.StatusCreated, scopes: change,
		about: "The answer holds the token, this once: the cluster keeps only a hash. Whoever joins by it gets everything that the cluster knows, its secrets included.",
	}, s.makeToken)
	register(a, operation{id: "revokeJoinToken", method: http.MethodDelete, path: "/cluster/tokens/{id}", tag: "Cluster", summary: "Take a join token back", scopes: change},
		func(ctx context.Context, in *keyInput) (*nothing, error) {
			return s.clusterDo(func(c Cluster) error { return c.RevokeToken(ctx, in.ID, in.caller.By) })
		})
	register(a, operation{
		id: "setNodeRole", method: http.MethodPost, path: "/cluster/nodes/{id}/role", tag: "Cluster", summary: "Say whether a node is to vote", scopes: change,
		about: "A voter votes once it has caught up and the number of voters stays odd; a replica ceases to at once.",
	}, func(ctx context.Context, in *roleInput) (*nothing, error) {
		role, _ := event.ParseNodeRole(in.Body.Role) // the schema allows no other
		return s.clusterDo(func(c Cluster) error { return c.SetRole(ctx, in.ID, role, in.caller.By) })
	})
	register(a, operation{
		id: "removeNode", method: http.MethodDelete, path: "/cluster/nodes/{id}", tag: "Cluster", summary: "Take a node out for ever", scopes: change,
		about: "Nobody listens to it from then on, and its number is not used again. To come back it joins with an empty data directory.",
	}, func(ctx context.Context, in *keyInput) (*nothing, error) {
		return s.clusterDo(func(c Cluster) error { return c.Remove(ctx, in.ID, in.caller.By) })
	})
	register(a, operation{id: "transferLeadership", method: http.MethodPost, path: "/cluster/leader", tag: "Cluster", summary: "Let another node lead", scopes: change},
		func(ctx context.Context, in *transferInput) (*nothing, error) {
			return s.clusterDo(func(c Cluster) error { return c.Transfer(ctx, in.Body.Node) })
		})
}

type roleInput struct {
	Call
	ID   string `path:"id" maxLength:"64"`
	Body api.RoleRequest
}

type transferInput struct {
	Call
	Body api.TransferRequest
}

type tokenInput struct {
	Call
	Body api.TokenRequest
}

func (s *Server) makeToken(ctx context.Context, in *tokenInput) (*answer[api.NewJoinToken], error) {
	role := event.RoleVoter
	if in.Body.Role != "" {
		role, _ = event.ParseNodeRole(in.Body.Role) // the schema allows no other
	}
	var made *api.NewJoinToken
	_, err := s.clusterDo(func(c Cluster) (err error) {
		made, err = c.MakeToken(ctx, role, time.Duration(in.Body.Minutes)*time.Minute, in.caller.By)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &answer[api.NewJoinToken]{Body: *made}, nil
}

// clusterDo does something with the cluster and turns what can go wrong into problems.
func (s *Server) clusterDo(do func(Cluster) error) (*nothing, error) {
	if s.cfg.Cluster == nil {
		return nil, errNoCluster()
	}
	err := do(s.cfg.Cluster)
	var p *api.Problem
	switch {
	case err == nil:
		return &nothing{}, nil
	case errors.As(err, &p):
		return nil, p
	}
	return nil, logProblem(err)
}

func errNoCluster() *api.Problem {
	return api.NewProblem(http.StatusConflict, api.ReasonCluster, "this node cannot be one of a cluster")
}
