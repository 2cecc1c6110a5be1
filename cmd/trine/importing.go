package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
)

const (
	// rowsShown is how many refused rows are shown one by one.
	rowsShown = 100
	// previewRows is how many rows a node previews at once.
	previewRows = 1000
	// pollEvery is how often a job is asked how far it is.
	pollEvery = 200 * time.Millisecond
)

// table is a kind of document that can be taken in from CSV files.
type table struct {
	kind    string // as the API knows it
	noun    string // many of them
	long    string // what the columns are
	example string
}

func ofUsers() table {
	return table{
		kind: "User", noun: "users",
		long: "Its first row names the columns: userName, firstName, lastName,\n" +
			"fullName, shortName, mail, mailDomain, mobile, aliases, directoryDN, userType, primaryGroup, groups, roles, active, password,\n" +
			"passwordHash and attributes.NAME; several values are separated by semicolons. A passwordHash is a hash that another system made\n" +
			"(docs/guides/migrating-passwords.md lists them).",
		example: "  trine user import people.csv --dry-run\n  trine user import people.csv --skip-bad-rows\n  trine user import people.csv --preview --column Vorname=firstName",
	}
}

func ofDefinitions() table {
	return table{
		kind: "AttributeDefinition", noun: "attribute definitions",
		long: "Its first row names the columns: name, and the\n" +
			"fields of a definition such as source, shortName, oid, openidName, radiusID, claimURI, casName and scoped.",
		example: "  trine attribute import attributes.csv --preview\n  trine attribute import attributes.csv --existing update --choose 3=skip",
	}
}

func ofPolicies() table {
	return table{
		kind: "AttributePolicy", noun: "sharing policies",
		long: "A row is one rule, and the rows of a policy follow each\n" +
			"other. The first row of the file names the columns: name, description, condition, attribute, allow and attributeCondition. A condition is\n" +
			"written as in a document, on one line: any, or {\"attributeRequester\":\"https://sp.example.com\"}.",
		example: "  trine policy import policies.csv --preview\n  trine policy import policies.csv --existing update",
	}
}

// attributeCommand is trine attribute.
func (c *cli) attributeCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "attribute", Short: "Import and export attribute definitions as CSV", Args: cobra.ArbitraryArgs, RunE: parent}
	cmd.AddCommand(c.importCommand(ofDefinitions()), c.exportCSVCommand(ofDefinitions()))
	return cmd
}

// policyCommand is trine policy.
func (c *cli) policyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Import and export sharing policies as CSV", Args: cobra.ArbitraryArgs, RunE: parent}
	cmd.AddCommand(c.importCommand(ofPolicies()), c.exportCSVCommand(ofPolicies()))
	return cmd
}

// importCommand is trine user import and its like.
func (c *cli) importCommand(t table) *cobra.Command {
	var o client.ImportOptions
	var preview bool
	var from int
	cmd := &cobra.Command{
		Use:   "import FILE.csv|-",
		Short: "Take in " + t.noun + " from a CSV file",
		Long: "Take in " + t.noun + " from a CSV file, all rows or none. " + t.long + "\n" +
			"A column action may say for each row what to do: create, update or skip; --choose says it for one row by its number. A row that is\n" +
			"refused is shown with its line; then nothing is taken in (exit code 3), unless --skip-bad-rows asks for the good rows.",
		Example: t.example,
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
			if from < 1 {
				return usagef("--from is the number of a row, counted from 1")
			}
			if preview = preview || cmd.Flags().Changed("from"); preview {
				o.DryRun, o.Preview = true, from
			}
			return c.importDocuments(cmd, t.kind, words[0], o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.DryRun, "dry-run", false, "check the rows and change nothing")
	f.BoolVar(&preview, "preview", false, "show what becomes of each row, and change nothing")
	f.IntVar(&from, "from", 1, "`row` with which the preview begins; it shows 1000 at most")
	f.BoolVar(&o.SkipBadRows, "skip-bad-rows", false, "take the good rows although others are refused")
	f.StringVar(&o.Existing, "existing", "refuse", "rows of "+t.noun+" that exist: refuse them, update what they name, or keep that as it is")
	f.StringArrayVar(&o.Choices, "choose", nil, "`ROW=CHOICE`, such as 3=skip, with create, update or skip; can be given more than once")
	f.StringArrayVar(&o.Columns, "column", nil, "`HEADER=COLUMN`: what a column of the file means; with nothing behind the = it is left out; can be given more than once")
	f.StringVar(&o.Comma, "comma", "", "`character` that separates columns (default a comma)")
	commentFlag(cmd, &o.Comment)
	mustRegister(cmd, "existing", fixed("refuse", "update", "keep"))
	return cmd
}

// exportCSVCommand is trine attribute export and its like.
func (c *cli) exportCSVCommand(t table) *cobra.Command {
	return &cobra.Command{
		Use:     "export",
		Short:   "Write all " + t.noun + " as CSV",
		Long:    "Write all " + t.noun + " as CSV, in the form that import takes. An import of the export with --existing update changes nothing.",
		Example: "  trine " + map[string]string{"AttributeDefinition": "attribute", "AttributePolicy": "policy"}[t.kind] + " export > file.csv",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("output") {
				return usagef("export writes CSV")
			}
			node, err := c.client(cmd)
			if err != nil {
				return err
			}
			defer node.Close()
			stream, err := node.ExportCSV(cmd.Context(), t.kind)
			if err != nil {
				return err
			}
			defer stream.Close()
			if _, err := io.Copy(c.out, stream); err != nil {
				return fmt.Errorf("read the export: %w", err)
			}
			return nil
		},
	}
}

func (c *cli) importDocuments(cmd *cobra.Command, kind, path string, o client.ImportOptions) error {
	in, total, name := c.in, int64(-1), "stdin"
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("read the CSV file: %w", err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("read the CSV file: %w", err)
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
	job, err := node.Import(ctx, kind, io.TeeReader(in, upload), o)
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
		if err := c.previewed(counts); err != nil {
			return err
		}
		if job.Error != nil {
			return job.Error
		}
		return errors.New("the import failed")
	case api.JobRunning, api.JobSucceeded:
	}
	for i := range job.Warnings {
		fmt.Fprintf(c.err, "warning: %s\n", printable(job.Warnings[i].String()))
	}
	if c.output == "table" {
		if err := c.previewed(counts); err != nil {
			return err
		}
	}
	return c.show(job, func(w io.Writer) error {
		verb := "Imported"
		if o.DryRun {
			verb = "Would import"
		}
		_, err := fmt.Fprintf(w, "%s %s: %d created, %d updated, %d unchanged, %d kept, %d skipped, %d refused; %s set.\n", verb,
			counted(counts.Rows-counts.Bad-counts.Skipped, "row", "rows"), counts.Created, counts.Updated, counts.Unchanged, counts.Kept, counts.Skipped, counts.Bad,
			counted(counts.Passwords, "password", "passwords"))
		return err
	})
}

// previewed shows what becomes of each row, if that was asked for.
func (c *cli) previewed(counts *api.Imported) error {
	if len(counts.Preview) == 0 || c.output != "table" {
		return nil
	}
	if err := c.show(nil, func(w io.Writer) error {
		fmt.Fprintln(w, "ROW\tLINE\tNAME\tACTION\tWHAT")
		for i := range counts.Preview {
			r := &counts.Preview[i]
			row(w, strconv.Itoa(r.Row), strconv.Itoa(r.Line), r.Name, r.Action, whatOf(r))
		}
		return nil
	}); err != nil {
		return err
	}
	last := &counts.Preview[len(counts.Preview)-1]
	if shown := last.Row + last.Records - 1; len(counts.Preview) == previewRows && shown < counts.Rows {
		fmt.Fprintf(c.err, "there are more rows: --from %d shows them\n", shown+1)
	}
	return nil
}

// changesShown is how many changes of a row are shown one by one.
const changesShown = 4

// whatOf says in one line what a row changes, or why it is refused.
func whatOf(r *api.ImportedRow) string {
	var parts []string
	for i := range r.Findings {
		parts = append(parts, r.Findings[i].Reason)
	}
	for i, change := range r.Changes {
		if i == changesShown {
			parts = append(parts, fmt.Sprintf("and %d more", len(r.Changes)-i))
			break
		}
		field := strings.TrimPrefix(change.Path, "spec.")
		switch {
		case change.Old == "" || r.Action == "create":
			parts = append(parts, field+": "+change.New)
		case change.New == "":
			parts = append(parts, field+": "+change.Old+" goes away")
		default:
			parts = append(parts, field+": "+change.Old+" > "+change.New)
		}
	}
	return strings.Join(parts, "; ")
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
