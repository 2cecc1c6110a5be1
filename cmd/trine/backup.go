package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"trine/appliance/node"
)

// backupCommand is trine backup.
func (c *cli) backupCommand() *cobra.Command {
	var stdin, unchecked bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Back up everything to an encrypted file",
		Long: "Back up everything that the node holds, as of one entry of its log, history and secrets included, to a file that is\n" +
			"encrypted with a passphrase. The node goes on serving. The file is then read back whole, every checksum and digest\n" +
			"compared, which takes the memory of a node with that data; --unchecked leaves that to `trine restore --check`.\n" +
			"The file appears when it is complete, and is not written over. Without the passphrase nobody can read it, you included.",
		Example: "  trine backup /media/usb/site.backup\n  trine backup nightly.backup --stdin < passphrase.txt",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			name := words[0]
			if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s exists already; give the backup another name", printable(name))
			}
			n, err := c.client(cmd)
			if err != nil {
				return err
			}
			defer n.Close()
			passphrase, err := c.password(stdin, true)
			if err != nil {
				return err
			}
			stream, err := n.Backup(cmd.Context(), passphrase)
			if err != nil {
				return err
			}
			defer stream.Close()
			if err := keep(name, stream); err != nil {
				return err
			}
			if unchecked {
				_, err = fmt.Fprintf(c.out, "Backed up to %s, which was not read back.\n", printable(name))
				return err
			}
			return c.checkBackup(name, passphrase)
		},
	}
	cmd.Flags().BoolVar(&stdin, "stdin", false, "read the passphrase from standard input: its first line")
	cmd.Flags().BoolVar(&unchecked, "unchecked", false, "do not read the file back")
	return cmd
}

// keep writes a stream to a new file, which appears once it is complete and on disk.
func keep(name string, stream io.Reader) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".backup-") // its owner's alone
	if err != nil {
		return fmt.Errorf("make the file of the backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = io.Copy(f, stream)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("write the backup: %w; there is no file %s", err, printable(name))
	}
	return nil
}

// checkBackup reads a backup whole and tells what is in it.
func (c *cli) checkBackup(name, passphrase string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	defer f.Close()
	info, err := node.VerifyBackup(f, passphrase, filepath.Dir(name))
	if err != nil {
		return fmt.Errorf("check %s: %w", printable(name), err)
	}
	return c.showBackup(info, "holds")
}

func (c *cli) showBackup(info node.BackupInfo, verb string) error {
	return c.show(info, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "The backup of %s made on %s %s: %d users and %d events, up to index %d.\n", printable(info.Node), when(info.Made), verb, info.Users, info.Events, info.Index)
		return err
	})
}

// restoreCommand is trine restore.
func (c *cli) restoreCommand() *cobra.Command {
	var stdin, check bool
	var name string
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a new node of a backup",
		Long: "Make the data directory (--data), which must be empty or absent, that of a new node with everything that a backup holds.\n" +
			"The node is the only one of its cluster when `trine serve` starts it; others join it anew. The nodes of the time of\n" +
			"the backup must not run any more. With --check the backup is read whole and nothing is written.",
		Example: "  trine restore site.backup --data /var/lib/trine\n  trine restore site.backup --check",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			f, err := os.Open(words[0])
			if err != nil {
				return fmt.Errorf("read the backup: %w", err)
			}
			defer f.Close()
			passphrase, err := c.password(stdin, false)
			if err != nil {
				return err
			}
			if check {
				return c.checkBackup(words[0], passphrase)
			}
			s := node.DefaultSettings()
			s.Data = c.data
			if name != "" {
				s.NodeName = name
			}
			return c.restore(cmd.Context(), s, f, passphrase)
		},
	}
	cmd.Flags().BoolVar(&stdin, "stdin", false, "read the passphrase from standard input: its first line")
	cmd.Flags().BoolVar(&check, "check", false, "read the backup whole, compare checksums and digests, and write nothing")
	cmd.Flags().StringVar(&name, "node-name", "", "the new node's name (default: the host's name)")
	return cmd
}

func (c *cli) restore(ctx context.Context, s *node.Settings, f io.Reader, passphrase string) error {
	info, err := node.RestoreBackup(ctx, s, f, passphrase, slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	return c.showBackup(info, "is restored")
}
