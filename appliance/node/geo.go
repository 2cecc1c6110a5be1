package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"trine/engine/login/geo"
)

const (
	// geoEvery is how often the file of the geo database is looked at.
	geoEvery = 30 * time.Second
	// maxGeo bounds its size: it is held in memory. The largest that are sold have some 300 MiB.
	maxGeo = 1 << 30
)

// geoFile follows the file of the geo database.
type geoFile struct {
	path   string
	logger *slog.Logger
	holder geo.Holder

	read     os.FileInfo // as the file was when it was read last, with or without success
	reloads  atomic.Uint64
	failures atomic.Uint64
	problem  atomic.Pointer[string] // why the file as it is now is not in use; nil: it is
}

// load reads the file and puts it in force. A file that cannot be used leaves what is in force there.
func (f *geoFile) load() error {
	d, info, err := readGeo(f.path)
	f.read = info
	if err != nil {
		f.failures.Add(1)
		text := err.Error()
		f.problem.Store(&text)
		return err
	}
	f.holder.Store(d)
	f.reloads.Add(1)
	f.problem.Store(nil)
	f.logger.Info("geo database read", "file", f.path, "type", d.Type(), "built", d.Built())
	return nil
}

func readGeo(path string) (*geo.Database, os.FileInfo, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open the geo database: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("open the geo database: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxGeo {
		return nil, info, fmt.Errorf("%s is no geo database: expected a file of at most %d MiB", path, maxGeo>>20)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, info, fmt.Errorf("read the geo database %s: %w", path, err)
	}
	d, err := geo.New(data)
	if err != nil {
		return nil, info, fmt.Errorf("read the geo database %s: %w", path, err)
	}
	return d, info, nil
}

// follow reads the file again whenever it has changed and stayed the same for one look, so that none is read while it is written.
func (f *geoFile) follow(ctx context.Context) {
	tick := time.NewTicker(geoEvery)
	defer tick.Stop()
	var seen os.FileInfo
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, err := os.Stat(f.path)
		if err != nil {
			if !errors.Is(err, os.ErrNotExist) {
				f.logger.Warn("the geo database cannot be looked at; the one that was read stays in use", "error", err)
			}
			continue
		}
		if !sameFile(now, f.read) && sameFile(now, seen) {
			if err := f.load(); err != nil {
				f.logger.Error("the new geo database cannot be used; the one that was read before stays in use", "error", err)
			}
		}
		seen = now
	}
}

func sameFile(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// places returns where the engine looks places up; nil where there is no geo database.
func (n *Node) places() *geo.Holder {
	if n.geo == nil {
		return nil
	}
	return &n.geo.holder
}
