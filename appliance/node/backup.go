package node

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"

	"trine/appliance/cluster"
	"trine/engine"
	"trine/engine/event"
	"trine/engine/secret"
	"trine/engine/state"
	"trine/raftstore"
	"trine/raftstore/transport"
)

// An archive is encrypted with a passphrase (age, scrypt): a line of JSON that says what it is and holds the cluster keys, and then the store's backup. The keys are wrapped for
// a node key that was made for the archive and is in it: it stands for that of the node that is restored from it.
type archiveHead struct {
	Format  int           `json:"format"`
	Cluster string        `json:"cluster"`
	Node    string        `json:"node"` // name
	Version string        `json:"version"`
	Made    time.Time     `json:"made"`
	Key     string        `json:"key"` // the archive's node key, as its file is
	Keys    []archivedKey `json:"keys"`
}

// archivedKey is a cluster key, wrapped.
type archivedKey struct {
	ID      uint32 `json:"id"`
	Wrapped []byte `json:"wrapped"`
}

const (
	archiveFormat = 1
	// archiveNode stands for the archive where its keys are wrapped.
	archiveNode = 0
	// archiveWork is the work of turning a passphrase into a key, as a power of two: about a second. maxArchiveWork is what is spent on an archive that says so itself.
	archiveWork    = 18
	maxArchiveWork = 22
	// restoredName is the file of a node that was restored or recovered, until its log says so: with the cluster keys of the backup, wrapped for it.
	restoredName = "restored.json"
	// maxArchiveHead bounds the line of JSON.
	maxArchiveHead = 1 << 20
	// minPassphrase is the least length of a passphrase: who has the archive can try as often as he likes.
	minPassphrase = 12
)

// ErrPassphrase means that a passphrase does not open an archive.
var ErrPassphrase = errors.New("the passphrase does not open the archive")

// backup writes an archive of everything that this node holds.
func (n *Node) backup(ctx context.Context, passphrase string, w io.Writer) error {
	if len(passphrase) < minPassphrase {
		return fmt.Errorf("the passphrase needs at least %d characters: whoever has the archive can try as often as he likes", minPassphrase)
	}
	recipient, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	recipient.SetWorkFactor(archiveWork)
	head, err := n.archiveHead()
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	out, err := age.Encrypt(w, recipient)
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	if _, err := out.Write(append(head, '\n')); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	info, err := n.store.Backup(ctx, out)
	if err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	n.logger.Info("backed up", "index", info.Index, "facts", info.Facts)
	return nil
}

func (n *Node) archiveHead() ([]byte, error) {
	text, own, err := archiveKey(n.settings.Data, nil)
	if err != nil {
		return nil, err
	}
	h := archiveHead{Format: archiveFormat, Cluster: n.store.Status().Cluster, Node: n.settings.NodeName, Version: Version(), Made: n.clock().UTC(), Key: string(text)}
	for _, id := range n.keyring.IDs() {
		wrapped, err := n.keyring.Wrap(id, archiveNode, own.Public())
		if err != nil {
			return nil, err
		}
		h.Keys = append(h.Keys, archivedKey{id, wrapped})
	}
	return json.Marshal(h)
}

// archiveKey reads a node key from its text, or makes one. It is a file, of a directory that is gone afterwards.
func archiveKey(dir string, text []byte) (_ []byte, _ *secret.NodeKey, err error) {
	dir, err = os.MkdirTemp(dir, "archive-")
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	name := filepath.Join(dir, "key")
	if text != nil {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			return nil, nil, err
		}
	}
	own, err := secret.LoadOrCreateNodeKey(name)
	if err != nil {
		return nil, nil, err
	}
	text, err = os.ReadFile(name)
	return text, own, err
}

// openArchive decrypts an archive up to the store's backup, and opens the cluster keys in it.
func openArchive(r io.Reader, passphrase, scratch string) (*archiveHead, *secret.Keyring, io.Reader, error) {
	identity, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("open the archive: %w", err)
	}
	identity.SetMaxWorkFactor(maxArchiveWork)
	plain, err := age.Decrypt(r, identity)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, nil, nil, ErrPassphrase
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("open the archive: %w", err)
	}
	in := bufio.NewReaderSize(plain, maxArchiveHead)
	line, err := in.ReadSlice('\n')
	if err != nil {
		return nil, nil, nil, fmt.Errorf("open the archive: its head: %w", err)
	}
	h := new(archiveHead)
	if err := json.Unmarshal(line, h); err != nil {
		return nil, nil, nil, fmt.Errorf("open the archive: its head: %w", err)
	}
	if h.Format != archiveFormat {
		return nil, nil, nil, fmt.Errorf("open the archive: format %d, this release reads %d", h.Format, archiveFormat)
	}
	_, own, err := archiveKey(scratch, []byte(h.Key))
	if err != nil {
		return nil, nil, nil, fmt.Errorf("open the archive: its key: %w", err)
	}
	ring := secret.NewKeyring()
	for _, k := range h.Keys {
		key, err := own.Unwrap(k.ID, archiveNode, k.Wrapped)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("open the archive: cluster key %d: %w", k.ID, err)
		}
		if err := ring.Add(k.ID, key); err != nil {
			return nil, nil, nil, fmt.Errorf("open the archive: %w", err)
		}
	}
	return h, ring, in, nil
}

// BackupInfo says what an archive holds.
type BackupInfo struct {
	Cluster string    `json:"cluster,omitempty"`
	Node    string    `json:"node"`    // whose archive it is
	Version string    `json:"version"` // the release that made it
	Made    time.Time `json:"made"`
	Index   uint64    `json:"index"`  // the last log index in it
	Events  int       `json:"events"` // of history
	Users   int       `json:"users"`
}

// VerifyBackup reads an archive whole, as a restore does, and compares every checksum and digest. It needs the memory of a node with that data; scratch is a directory that it may
// fill, and empties. Errors: ErrPassphrase, and what does not hold.
func VerifyBackup(r io.Reader, passphrase, scratch string) (BackupInfo, error) {
	h, _, in, err := openArchive(r, passphrase, scratch)
	if err != nil {
		return BackupInfo{}, err
	}
	views := state.New()
	info, err := raftstore.VerifyBackup(in, machine{views}, scratch)
	if err != nil {
		return BackupInfo{}, err
	}
	return h.info(info, views), nil
}

func (h *archiveHead) info(i raftstore.BackupInfo, views *state.State) BackupInfo {
	return BackupInfo{Cluster: h.Cluster, Node: h.Node, Version: h.Version, Made: h.Made, Index: i.Index, Events: i.Facts, Users: views.Counts().Users}
}

// RestoreBackup makes the empty data directory of s that of a new node with what an archive holds. The node is the only one of its cluster; others join it. Errors: ErrPassphrase,
// that the directory is not empty, and what does not hold; the directory is empty again then.
func RestoreBackup(ctx context.Context, s *Settings, r io.Reader, passphrase string, logger *slog.Logger) (_ BackupInfo, err error) {
	if names, err := os.ReadDir(s.Data); err == nil && len(names) > 0 {
		return BackupInfo{}, fmt.Errorf("restore into %s: the directory is not empty; restore into a new one", s.Data)
	}
	if err := os.MkdirAll(s.Data, 0o700); err != nil {
		return BackupInfo{}, fmt.Errorf("make the data directory: %w", err)
	}
	defer func() {
		if err != nil {
			for _, name := range []string{nodeKeyName, restoredName, logDirectory} {
				err = errors.Join(err, os.RemoveAll(filepath.Join(s.Data, name)))
			}
		}
	}()
	h, ring, in, err := openArchive(r, passphrase, s.Data)
	if err != nil {
		return BackupInfo{}, err
	}
	own, err := ownKey(s.Data)
	if err != nil {
		return BackupInfo{}, err
	}
	var number [8]byte
	_, _ = rand.Read(number[:]) // it never fails
	node := max(binary.LittleEndian.Uint64(number[:]), 1)
	var keys []archivedKey
	for _, id := range ring.IDs() {
		wrapped, err := ring.Wrap(id, node, own.Public())
		if err != nil {
			return BackupInfo{}, fmt.Errorf("restore: %w", err)
		}
		keys = append(keys, archivedKey{id, wrapped})
	}
	text, err := json.Marshal(keys)
	if err != nil {
		return BackupInfo{}, fmt.Errorf("restore: %w", err)
	}
	if err := os.WriteFile(filepath.Join(s.Data, restoredName), text, 0o600); err != nil {
		return BackupInfo{}, fmt.Errorf("restore: %w", err)
	}
	views := state.New()
	info, err := raftstore.Restore(ctx, raftstore.Config{
		Dir: filepath.Join(s.Data, logDirectory), NodeName: s.NodeName, Node: node, Machine: machine{views}, Logger: logger,
	}, in)
	if err != nil {
		return BackupInfo{}, err
	}
	return h.info(info, views), nil
}

// becomeAlone records, once, what a node that was restored from a backup, or recovered, is: the cluster keys of the backup as wrapped for it, and that the other nodes are none of
// its cluster any more.
func becomeAlone(ctx context.Context, data string, node uint64, views *state.State, store *raftstore.Store) error {
	name := filepath.Join(data, restoredName)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var keys []archivedKey
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(text)).Decode(&keys)
	}
	if err != nil {
		return fmt.Errorf("read what a restore left in %s: %w", name, err)
	}
	var b event.Builder
	b.Reset()
	for _, k := range keys {
		err = errors.Join(err, b.Add(event.TypeClusterKeyAdded, event.ClassSystem, nil, &event.ClusterKeyAdded{
			Id: k.ID, Wraps: []*event.ClusterKeyAdded_Wrap{{Node: node, Wrapped: k.Wrapped}},
		}))
	}
	for _, other := range views.Nodes() {
		if other.Node != node {
			err = errors.Join(err, b.Add(event.TypeNodeRemoved, event.ClassSystem, nil, &event.NodeRemoved{Node: other.Node, By: "restore"}))
		}
	}
	if err == nil && b.Len() > 0 {
		var outcome engine.Outcome
		outcome, err = propose(ctx, store, b.Bytes())
		if err == nil && outcome.Code != 0 {
			err = errors.New(outcome.Detail)
		}
	}
	if err != nil {
		return fmt.Errorf("record that the node is alone: %w", err)
	}
	return os.Remove(name)
}

// ErrPeerAnswers means that a node cannot be recovered because another one of its cluster is alive.
var ErrPeerAnswers = raftstore.ErrPeerAnswers

// RecoverCluster makes the node of a data directory, which must not run, the only one of its cluster, after too many of the others were lost for good. What its log holds counts as committed. Errors:
// ErrPeerAnswers while another node answers, and what is wrong with the directory.
func RecoverCluster(ctx context.Context, data string, logger *slog.Logger) error {
	identity, err := cluster.ReadIdentity(data)
	if err != nil {
		return err
	}
	if identity == nil {
		return fmt.Errorf("%s is not the data directory of a node of a cluster: there is nothing to recover from", data)
	}
	mesh, err := transport.Listen(transport.Config{
		Listen: "127.0.0.1:0", Address: "127.0.0.1:1", Cluster: identity.Cluster, Authority: identity.Authority,
		Certificate: func() *tls.Certificate { return identity.Certificate() }, Removed: func(uint64) bool { return false }, Clock: time.Now, Logger: logger,
	})
	if err != nil {
		return fmt.Errorf("ask the other nodes: %w", err)
	}
	defer func() { _ = mesh.Close() }() // nothing was written through it
	err = raftstore.Recover(ctx, raftstore.Config{Dir: filepath.Join(data, logDirectory), Machine: machine{state.New()}, Mesh: mesh, Logger: logger})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(data, restoredName), []byte("[]"), 0o600); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	return nil
}
