package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
)

// rowsShown is how many refused rows are shown one by one.
const rowsShown = 100

// pollEvery is how often a job is asked how far it is.
const pollEvery = 200 * time.Millisecond

// userCommand is trine user.
func (c *cli) userCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "user", Short: "Import users, set their passwords, enrol their factors, lift their locks", Args: cobra.ArbitraryArgs, RunE: parent}
	cmd.AddCommand(c.importCommand(), c.passwdCommand(), c.factorCommand(), c.failuresCommand(), c.unlockCommand())
	return cmd
}

// importCommand is trine user import.
func (c *cli) importCommand() *cobra.Command {
	var o client.ImportOptions
	cmd := &cobra.Command{
		Use:   "import FILE.csv|-",
		Short: "Take in users from a CSV file",
		Long: "Take in users from a CSV file, all rows or none. Its first row names the columns: userName, firstName, lastName,\n" +
			"fullName, shortName, mail, mailDomain, mobile, aliases, directoryDN, userType, primaryGroup, groups, active, password,\n" +
			"passwordHash and attributes.NAME; several values are separated by semicolons. A passwordHash is a hash that another system made\n" +
			"(docs/guides/migrating-passwords.md lists them). A row that is refused is shown with its line; then nothing is taken in (exit\n" +
			"code 3), unless --skip-bad-rows asks for the good rows.",
		Example: "  trine user import people.csv --dry-run\n  trine user import people.csv --skip-bad-rows",
		Args:    args(cobra.ExactArgs(1)),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"csv"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, words []string) error {
			switch o.Existing {
			case "refuse", "update", "keep":
			default:
				return usagef("--existing %q is none of refuse, update, keep", o.Existing)
			}
			return c.importUsers(cmd, words[0], o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.DryRun, "dry-run", false, "check the rows and change nothing")
	f.BoolVar(&o.SkipBadRows, "skip-bad-rows", false, "take the good rows although others are refused")
	f.StringVar(&o.Existing, "existing", "refuse", "users that exist: refuse their rows, update them, or keep them as they are")
	commentFlag(cmd, &o.Comment)
	mustRegister(cmd, "existing", fixed("refuse", "update", "keep"))
	return cmd
}

func (c *cli) importUsers(cmd *cobra.Command, path string, o client.ImportOptions) error {
	in, total, name := c.in, int64(-1), "stdin"
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("read users: %w", err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("read users: %w", err)
		}
		in, total, name = f, info.Size(), path
	}
	o.Name = name
	node, err := c.client(cmd)
	if err != nil {
		return err
	}
	defer node.Close()
	ctx := cmd.Context()
	upload := c.progress(total, "sending", true)
	job, err := node.ImportUsers(ctx, io.TeeReader(in, upload), o)
	c.finish(upload)
	if err != nil {
		return err
	}
	job, err = c.await(ctx, node, job)
	if err != nil {
		return err
	}
	return c.imported(job, o)
}

// await follows a job with a progress bar until it has ended. Interrupted, it cancels the job.
func (c *cli) await(ctx context.Context, node *client.Client, job *api.Job) (*api.Job, error) {
	var bar *progressbar.ProgressBar
	phase := ""
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for job.State == api.JobRunning {
		if job.Phase != phase && job.Total > 0 {
			if bar != nil {
				c.finish(bar)
			}
			phase = job.Phase
			bar = c.progress(int64(job.Total), job.Phase, false)
		}
		if bar != nil {
			// A bar that cannot be drawn stops nothing.
			_ = bar.Set(job.Done)
		}
		select {
		case <-ctx.Done():
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return nil, errors.Join(ctx.Err(), node.CancelJob(stop, job.ID))
		case <-tick.C:
		}
		next, err := node.Job(ctx, job.ID)
		if err != nil {
			return nil, err
		}
		job = next
	}
	if bar != nil {
		c.finish(bar)
	}
	return job, nil
}

// imported shows what became of an import.
func (c *cli) imported(job *api.Job, o client.ImportOptions) error {
	counts := job.Import
	if counts == nil {
		counts = &api.Imported{}
	}
	shown := job.Findings[:min(len(job.Findings), rowsShown)]
	for i := range shown {
		fmt.Fprintf(c.err, "%s\n", printable(shown[i].String()))
	}
	if more := counts.Bad - len(shown); more > 0 && len(shown) == rowsShown {
		fmt.Fprintf(c.err, "and %s\n", counted(more, "more row that is refused", "more rows that are refused"))
	}
	switch job.State {
	case api.JobCancelled:
		return errors.New("the import was cancelled; nothing was changed")
	case api.JobFailed:
		if job.Error != nil {
			return job.Error
		}
		return errors.New("the import failed")
	}
	return c.show(job, func(w io.Writer) error {
		verb := "Imported"
		if o.DryRun {
			verb = "Would import"
		}
		_, err := fmt.Fprintf(w, "%s %s: %d created, %d updated, %d unchanged, %d kept, %d refused; %s set.\n", verb,
			counted(counts.Rows-counts.Bad, "row", "rows"), counts.Created, counts.Updated, counts.Unchanged, counts.Kept, counts.Bad,
			counted(counts.Passwords, "password", "passwords"))
		return err
	})
}

// progress returns a progress bar on the error stream, invisible where that is no terminal.
func (c *cli) progress(total int64, what string, bytes bool) *progressbar.ProgressBar {
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(c.err),
		progressbar.OptionSetVisibility(isTerminal(c.err)),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(bytes),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)
}

// finish takes a bar away. One that cannot be drawn stops nothing.
func (c *cli) finish(bar *progressbar.ProgressBar) { _ = bar.Finish() }

// passwdCommand is trine user passwd.
func (c *cli) passwdCommand() *cobra.Command {
	var stdin, mustChange bool
	cmd := &cobra.Command{
		Use:   "passwd NAME",
		Short: "Set a user's password",
		Long:  "Set a user's password. It is asked for on the terminal, or read from standard input with --stdin: its first line.",
		Args:  args(cobra.ExactArgs(1)),

		ValidArgsFunction: c.completeUser,
		RunE: func(cmd *cobra.Command, words []string) error {
			node, err := c.client(cmd)
			if err != nil {
				return err
			}
			defer node.Close()
			password, err := c.password(stdin, true)
			if err != nil {
				return err
			}
			if err := node.SetPassword(cmd.Context(), words[0], password, mustChange); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.out, "Password of %s set.\n", printable(words[0]))
			return err
		},
	}
	cmd.Flags().BoolVar(&stdin, "stdin", false, "read the password from standard input")
	cmd.Flags().BoolVar(&mustChange, "must-change", false, "ask for another password at the next login")
	return cmd
}

// password reads a password from standard input, or asks for it on the terminal, twice if it is a new one.
func (c *cli) password(stdin, isNew bool) (string, error) {
	if stdin {
		line, err := bufio.NewReader(io.LimitReader(c.in, 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read password: %w", err)
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", errors.New("standard input held no password")
		}
		return line, nil
	}
	f, ok := c.in.(*os.File)
	if !ok || !isTerminal(c.in) {
		return "", usagef("standard input is no terminal; pass the password there with --stdin")
	}
	first, err := c.ask(f, "Password: ")
	if err != nil || !isNew {
		return first, err
	}
	second, err := c.ask(f, "Again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return first, nil
}

// ask reads a line without showing it.
func (c *cli) ask(f *os.File, prompt string) (string, error) {
	fmt.Fprint(c.err, prompt)
	line, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(c.err)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	if len(line) == 0 {
		return "", errors.New("a password cannot be empty")
	}
	return string(line), nil
}
