package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"path/filepath"
	"runtime"

	"trine/appliance/admin"
	"trine/appliance/admin/client"
	"trine/engine"
	"trine/engine/credential"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/state"
	"trine/protocols/tacacs"
	"trine/raftstore"
)

// startAdmin opens the administration's socket in the data directory and the management listener.
func (n *Node) startAdmin() error {
	config, err := managementTLS(n.settings, n.clock())
	if err != nil {
		return err
	}
	n.admin = admin.New(admin.Config{
		State: admin.Views(n.views), Log: adminLog{n.store}, Cluster: adminCluster{n}, Events: adminEvents{n.store}, Policy: n.policies,
		Keys: signingKeys{n}, Passwords: passwords{n}, PasswordsAtOnce: cmp.Or(n.settings.WorkerParallel, runtime.NumCPU()), Messenger: n.delivery, Simulator: n.newSimulator(), Keyring: n.keyring, Status: n.status, Ready: n.ready, Backup: n.backup, Attributes: n.attributes,
		Metrics: n.metrics(config.Certificates[0].Leaf.NotAfter),
		Scratch: n.settings.Data, MaxRecord: raftstore.MaxRecord, Version: Version(), Logger: n.logger, Clock: n.clock,
	})
	listener, err := net.Listen("tcp", n.settings.ManagementListen)
	if err != nil {
		return fmt.Errorf("open the management listener: %w; choose another address with --management-listen", err)
	}
	n.management = listener
	if err := n.admin.ServeSocket(filepath.Join(n.settings.Data, client.SocketName)); err != nil {
		return fmt.Errorf("open the administration socket: %w", err)
	}
	n.admin.Serve(listener, config)
	return nil
}

// signingKeys rotates keys for the administration.
type signingKeys struct{ n *Node }

// Rotate implements admin.Keys.
func (k signingKeys) Rotate(ctx context.Context, issuer string, algorithms []string, atOnce bool, by string) error {
	_, err := k.n.engine.RotateKeys(ctx, &engine.Rotation{Issuer: issuer, Algorithms: algorithms, AtOnce: atOnce, By: by})
	switch {
	case errors.Is(err, engine.ErrBusy):
		return fmt.Errorf("%w: %w", admin.ErrBusy, err)
	case errors.Is(err, engine.ErrUnavailable) && !k.n.store.HasLeader():
		return fmt.Errorf("%w: %w", admin.ErrNoLeader, err)
	}
	return err
}

// attributes tells the attributes of an accounting record by the node's dictionary.
func (n *Node) attributes(protocol string, raw []byte) ([]string, bool) {
	if protocol == document.TypeTacacs {
		return tacacs.Describe(raw)
	}
	pairs, err := n.names.PairsOf(raw)
	if err != nil {
		return nil, false
	}
	lines := make([]string, len(pairs))
	for i, p := range pairs {
		lines[i] = p.String()
	}
	return lines, true
}

// adminLog lets the administration propose.
type adminLog struct{ store *raftstore.Store }

// Propose implements admin.Log.
func (l adminLog) Propose(ctx context.Context, proposal []byte) (admin.Outcome, error) {
	at, r, err := l.store.ProposeWait(ctx, proposal)
	return admin.Outcome{Index: at.Index, Code: uint32(r.Code), Value: r.Value, Detail: r.Detail}, adminError(err)
}

// adminError turns an error of the store into the administration's.
func adminError(err error) error {
	for _, pair := range []struct{ from, to error }{
		{raftstore.ErrNoLeader, admin.ErrNoLeader},
		{raftstore.ErrClosed, admin.ErrNoLeader},
		{raftstore.ErrUncertain, admin.ErrUncertain},
		{raftstore.ErrBusy, admin.ErrBusy},
		{raftstore.ErrDiskFull, admin.ErrDiskFull},
	} {
		if errors.Is(err, pair.from) {
			return pair.to
		}
	}
	return err
}

// adminEvents lets the administration read the log.
type adminEvents struct{ store *raftstore.Store }

func query(q admin.EventQuery) raftstore.Query {
	out := raftstore.Query{
		From:  raftstore.Position{Index: q.From.Index, Offset: q.From.Offset},
		Since: q.Since, Until: q.Until, Stream: q.Stream, Reverse: q.Reverse,
	}
	for _, c := range q.Classes {
		out.Classes = append(out.Classes, raftstore.Class(c))
	}
	return out
}

func items(facts iter.Seq2[raftstore.Item, error]) iter.Seq2[admin.Item, error] {
	return func(yield func(admin.Item, error) bool) {
		for f, err := range facts {
			if !yield(admin.Item{Position: admin.Position{Index: f.Position.Index, Offset: f.Position.Offset}, Time: f.Time, Data: f.Data}, err) {
				return
			}
		}
	}
}

// Read implements admin.Events.
func (e adminEvents) Read(ctx context.Context, q admin.EventQuery) iter.Seq2[admin.Item, error] {
	return items(e.store.Read(ctx, query(q)))
}

// Follow implements admin.Events.
func (e adminEvents) Follow(ctx context.Context, q admin.EventQuery) iter.Seq2[admin.Item, error] {
	return items(e.store.Follow(ctx, query(q)))
}

// Complete implements admin.Events.
func (e adminEvents) Complete() uint64 { return e.store.Status().HistoryComplete }

// Last implements admin.Events.
func (e adminEvents) Last() admin.Position {
	index, _ := e.store.Applied()
	return admin.Position{Index: index + 1}
}

// passwords lets the administration make and check the stored forms of passwords.
type passwords struct{ n *Node }

// Build implements admin.Passwords.
func (p passwords) Build(ctx context.Context, user string, password []byte, t *document.UserType) (*event.PasswordSet, error) {
	keep, params := engine.KeepOf(t)
	return credential.BuildForms(ctx, user, password, keep, params, p.n.keyring, p.n.passwords)
}

// Import implements admin.Passwords.
func (p passwords) Import(user, hash string, t *document.UserType) (*event.PasswordSet, error) {
	keep, _ := engine.KeepOf(t)
	return credential.ImportForms(user, hash, keep, p.n.keyring)
}

// Imported implements admin.Passwords.
func (p passwords) Imported(stored admin.StoredPassword, hash string, t *document.UserType) bool {
	keep, _ := engine.KeepOf(t)
	forms := credential.Stored{
		Name: []byte(stored.User), Argon2id: stored.Argon2id, Keyed: stored.Keyed, NT: stored.NT, Clear: stored.Clear, Imported: stored.Import,
	}
	return forms.IsImport(hash, keep, p.n.keyring)
}

// Verify implements admin.Passwords. What is verified here is remembered like a login, so it goes by the user's own id and the
// version that he has now.
func (p passwords) Verify(ctx context.Context, stored admin.StoredPassword, password []byte) (bool, error) {
	var user state.User
	if !p.n.views.UserNamed(&user, stored.User) {
		return false, nil
	}
	outcome, err := p.n.verifier.Await(ctx, &credential.Attempt{
		Proof: &credential.Proof{Method: credential.PAP, Password: password},
		User: &credential.Stored{
			ID: user.ID, Name: user.Name, Version: user.CredentialVersion,
			Argon2id: user.Argon2id, Keyed: user.Keyed, NT: user.NT, Clear: user.Clear, Imported: user.Imported,
		},
		Name: user.Name,
	})
	if err != nil {
		return false, err
	}
	return outcome.Status == credential.Matched, outcome.Err
}
