package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"trine/appliance/admin/api"
)

// Cluster says which nodes there are and how they stand.
func (c *Client) Cluster(ctx context.Context) (*api.Cluster, error) {
	return get[api.Cluster](ctx, c, "/cluster", nil)
}

// FoundCluster makes a lone node the first of a cluster; the node starts again after that.
func (c *Client) FoundCluster(ctx context.Context) error {
	_, err := c.do(ctx, request{method: http.MethodPost, path: "/cluster"}, nil)
	return err
}

// CreateJoinToken makes a token by which one node may join. Its text is in the answer and nowhere else.
func (c *Client) CreateJoinToken(ctx context.Context, t api.TokenRequest) (*api.NewJoinToken, error) {
	return post[api.NewJoinToken](ctx, c, "/cluster/tokens", t)
}

// RevokeJoinToken takes a join token back.
func (c *Client) RevokeJoinToken(ctx context.Context, id string) error {
	return c.remove(ctx, at("cluster", "tokens", id), nil)
}

// SetNodeRole says whether a node is to vote.
func (c *Client) SetNodeRole(ctx context.Context, node, role string) error {
	return c.tell(ctx, at("cluster", "nodes", node, "role"), api.RoleRequest{Role: role})
}

// RemoveNode takes a node out of the cluster for ever.
func (c *Client) RemoveNode(ctx context.Context, node string) error {
	return c.remove(ctx, at("cluster", "nodes", node), nil)
}

// TransferLeadership lets another node lead; empty: whoever has the most of the log.
func (c *Client) TransferLeadership(ctx context.Context, node string) error {
	return c.tell(ctx, "/cluster/leader", api.TransferRequest{Node: node})
}

// tell sends a POST with a JSON body whose answer has none.
func (c *Client) tell(ctx context.Context, path string, in any) error {
	data, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	_, err = c.do(ctx, request{method: http.MethodPost, path: path, body: bytes.NewReader(data), kind: "application/json"}, nil)
	return err
}
