package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"trine/engine/secret"
	"trine/raftstore"
)

// refusal adds to the error of a data directory that cannot be used what its administrator can do about it.
func refusal(err error) error {
	for _, known := range []struct {
		is     error
		advice string
	}{
		{raftstore.ErrInUse, "stop the node that runs on it, or choose another directory with --data"},
		{raftstore.ErrOtherNode, "start it with the --node-name that it was made with, or choose another directory with --data"},
		{raftstore.ErrNewerFormat, "start it with the release that wrote it, or a later one"},
		{raftstore.ErrReadOnly, "let the node's user write to it, or choose another directory with --data"},
		{syscall.EROFS, "let the node's user write to it, or choose another directory with --data"},
		{fs.ErrPermission, "let the node's user write to it, or choose another directory with --data"},
	} {
		if errors.Is(err, known.is) {
			return fmt.Errorf("%w; %s", err, known.advice)
		}
	}
	return err
}

// ownKey reads the node's key, or makes it for a new node. It comes before the log, whose start is itself written down: a node
// that has lost its key writes nothing.
func ownKey(data string) (*secret.NodeKey, error) {
	path := filepath.Join(data, nodeKeyName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		log := filepath.Join(data, logDirectory)
		if _, err := os.Stat(filepath.Join(log, "node.json")); err == nil {
			return nil, fmt.Errorf("%s is missing beside %s, whose secrets it opens: restore it from a backup of this node", path, log)
		}
	}
	return secret.LoadOrCreateNodeKey(path)
}
