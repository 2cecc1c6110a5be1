package node

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/secret"
	"trine/protocols/oidc"
)

// newOpenID makes the OpenID provider of the web front.
func (n *Node) newOpenID() (*oidc.Provider, error) {
	private, err := prefixes(n.settings.OIDCPrivateAddresses)
	if err != nil {
		return nil, fmt.Errorf("oidc-private-addresses: %w", err)
	}
	return oidc.New(oidc.Config{Engine: n.engine, Documents: registrations{n}, Keyring: n.keyring, Clock: n.clock, Logger: n.logger, Private: private})
}

// registrations changes documents as clients register themselves. Each change is one record that expects the document as it was.
type registrations struct{ n *Node }

var _ oidc.Documents = registrations{}

// Create implements oidc.Documents.
func (r registrations) Create(ctx context.Context, d *document.Document, by string) error {
	return r.put(ctx, d, by, 0, r.n.views.LastVersion(d.Kind, d.Name)+1)
}

// Replace implements oidc.Documents.
func (r registrations) Replace(ctx context.Context, d *document.Document, by string) error {
	stored, ok := r.n.views.Document(d.Kind, d.Name)
	if !ok {
		return fmt.Errorf("change %s: it is gone", d.Key())
	}
	return r.put(ctx, d, by, stored.Version, stored.Version+1)
}

func (r registrations) put(ctx context.Context, d *document.Document, by string, was, is uint64) error {
	var err error
	d.EachSecret(func(_ string, t *secret.Text) {
		sealed, wrong := t.Seal(r.n.keyring, d.SecretContext())
		if wrong != nil {
			err = wrong
			return
		}
		*t = sealed
	})
	if err != nil {
		return fmt.Errorf("seal the secrets of %s: %w", d.Key(), err)
	}
	spec, err := d.Stored()
	if err != nil {
		return err
	}
	return r.propose(ctx, d.Kind, d.Name, was, event.TypeDocumentPut, &event.DocumentPut{
		Kind: d.Kind, Name: d.Name, Version: is, Spec: spec, Refs: d.Refs(), Claims: d.Claims(), By: by, Comment: "registered by OpenID Connect",
	})
}

// Delete implements oidc.Documents.
func (r registrations) Delete(ctx context.Context, kind, name, by string) error {
	stored, ok := r.n.views.Document(kind, name)
	if !ok {
		return fmt.Errorf("delete %s %s: it is gone", kind, name)
	}
	return r.propose(ctx, kind, name, stored.Version, event.TypeDocumentDeleted, &event.DocumentDeleted{Kind: kind, Name: name, By: by, Comment: "deregistered by OpenID Connect"})
}

// propose proposes one change of a document, and returns once it decides logins on this node.
func (r registrations) propose(ctx context.Context, kind, name string, was uint64, t event.Type, m proto.Message) error {
	var b event.Builder
	b.Expect(event.Expectation_VERSION, event.Key(kind, name), was)
	if err := b.Add(t, event.ClassOf(kind), []uint64{event.StreamKey(event.StreamDocument, event.Key(kind, name))}, m); err != nil {
		return err
	}
	at, result, err := r.n.store.ProposeWait(ctx, b.Bytes())
	switch {
	case err != nil:
		return fmt.Errorf("record %s %s: %w", kind, name, err)
	case result.Code != 0:
		return fmt.Errorf("%w: %s", oidc.ErrTaken, result.Detail)
	}
	return r.n.policies.WaitPublished(ctx, at.Index)
}

// Read implements oidc.Documents.
func (r registrations) Read(kind, name string) (*document.Document, error) {
	stored, ok := r.n.views.Document(kind, name)
	if !ok {
		return nil, fmt.Errorf("there is no %s %q", kind, name)
	}
	d, err := document.FromStored(kind, name, stored.Spec)
	if err != nil {
		return nil, err
	}
	d.EachSecret(func(_ string, t *secret.Text) {
		clear, wrong := t.Open(nil, r.n.keyring, d.SecretContext())
		err = errors.Join(err, wrong)
		*t = secret.Plain(string(clear))
	})
	return d, err
}
