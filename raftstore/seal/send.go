package seal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// File opens a run for sending it to another node: its bytes are those of the run. The error wraps os.ErrNotExist where a later seal removed it.
func (r *Rows) File(run Run) (*os.File, error) {
	f, err := os.Open(filepath.Join(r.dir, runName(run.Index)))
	if err != nil {
		return nil, fmt.Errorf("open rows: %w", err)
	}
	return f, nil
}

// Receive takes a run that another node sent and makes it durable. What is in it is for Verify to tell.
func (r *Rows) Receive(run Run, from io.Reader) error {
	f, err := os.OpenFile(filepath.Join(r.dir, runName(run.Index)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make file of rows: %w", err)
	}
	_, err = io.CopyN(f, from, int64(run.Bytes))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("receive rows: %w", err)
	}
	return nil
}

// Verify reads runs whole and returns a *damage.Error unless every block and every row of them holds.
func (r *Rows) Verify(runs []Run) error {
	d := r.Read(runs)
	defer d.Close()
	for {
		if _, _, _, ok, err := d.Next(); err != nil || !ok {
			return err
		}
	}
}
