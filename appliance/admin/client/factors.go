package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"trine/appliance/admin/api"
)

// Factors lists a user's factors beside the password.
func (c *Client) Factors(ctx context.Context, user string) (*api.FactorList, error) {
	return get[api.FactorList](ctx, c, at("users", user, "factors"), nil)
}

// AddFactor enrols a factor of a user. What it returns is shown once.
func (c *Client) AddFactor(ctx context.Context, user string, f api.FactorRequest) (*api.Enrolment, error) {
	data, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	out := new(api.Enrolment)
	_, err = c.do(ctx, request{method: http.MethodPost, path: at("users", user, "factors"), body: bytes.NewReader(data), kind: "application/json"}, out)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// RemoveFactor takes a factor from a user.
func (c *Client) RemoveFactor(ctx context.Context, user, id string) error {
	return c.remove(ctx, at("users", user, "factors", id), nil)
}

// ResyncFactor finds a device again by two codes that it shows one after the other.
func (c *Client) ResyncFactor(ctx context.Context, user, id, first, second string) error {
	data, err := json.Marshal(api.ResyncRequest{First: first, Second: second})
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	_, err = c.do(ctx, request{method: http.MethodPost, path: at("users", user, "factors", id, "resync"), body: bytes.NewReader(data), kind: "application/json"}, nil)
	return err
}
