package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"trine/appliance/admin/api"
)

// Backup streams an archive of everything that the node holds, encrypted with a passphrase. The caller closes the stream; an error of it says that it is not whole.
func (c *Client) Backup(ctx context.Context, passphrase string) (io.ReadCloser, error) {
	body, err := json.Marshal(api.BackupRequest{Passphrase: passphrase})
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	resp, err := c.send(ctx, request{
		method: http.MethodPost, path: "/backup", body: bytes.NewReader(body), kind: "application/json", header: http.Header{"Accept": {"application/octet-stream, application/problem+json"}},
	})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}
