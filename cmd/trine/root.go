package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
)

// The exit codes of every command.
const (
	exitOK      = 0 // done
	exitFailure = 1 // could not be done: no node, no permission, not found, a failure
	exitUsage   = 2 // the command line is wrong
	exitRefused = 3 // the node refused what was to be put in force: documents or rows are not valid, or something changed in between
)

// cli is one invocation: its streams, and the flags that all client commands share.
type cli struct {
	in  io.Reader
	out io.Writer
	err io.Writer

	data     string
	server   string
	key      string
	ca       string
	insecure bool
	output   string
}

// run executes a command line and returns its exit code. It ends early, cleaning up, on SIGINT and SIGTERM.
func run(args []string, in io.Reader, out, err io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := &cli{in: in, out: out, err: err}
	root := c.rootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(err)
	return c.report(root.ExecuteContext(ctx))
}

// rootCommand builds the whole tree of commands.
func (c *cli) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "trine",
		Short: "The Trine AAA appliance",
		Long: "Trine authenticates, authorizes and accounts for people and devices.\n\n" +
			"Client commands find the node by its data directory (--data, whose socket root and the node's user may open)\n" +
			"or by the URL of its management listener (--server) with an API key.\n\n" +
			"Exit codes: 0 done; 1 could not be done; 2 the command line is wrong; 3 the node refused what was to be put in\n" +
			"force, because documents or rows are not valid or something changed in between.",
		SilenceUsage:      true,
		SilenceErrors:     true,
		DisableAutoGenTag: true,
		Args:              cobra.ArbitraryArgs,
		RunE:              parent,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			switch c.output {
			case "table", "json", "yaml":
				return nil
			}
			return usagef("output %q is none of table, json, yaml", c.output)
		},
	}
	f := root.PersistentFlags()
	f.StringVar(&c.data, "data", envOr("TRINE_DATA", "./data"), "data directory of the node (TRINE_DATA)")
	f.StringVar(&c.server, "server", os.Getenv("TRINE_SERVER"), "URL of the node's management listener, instead of --data (TRINE_SERVER)")
	f.StringVar(&c.key, "api-key", "", "API key for --server; better set in TRINE_API_KEY, where other users cannot see it")
	f.StringVar(&c.ca, "ca", os.Getenv("TRINE_CA"), "file of certificates that may have issued the server's (TRINE_CA)")
	f.BoolVar(&c.insecure, "insecure-skip-verify", false, "do not check the server's certificate; for loopback addresses only")
	f.StringVarP(&c.output, "output", "o", "table", "output format: table, json or yaml")
	for _, name := range []string{"data", "server", "ca"} {
		// Help and generated documentation must not depend on the environment that they were made in.
		fl := f.Lookup(name)
		if fl.DefValue = ""; name == "data" {
			fl.DefValue = "./data"
		}
	}
	mustRegister(root, "output", fixed("table", "json", "yaml"))
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		c.serveCommand(), c.workerCommand(),
		c.planCommand(), c.applyCommand(), c.getCommand(), c.deleteCommand(), c.exportCommand(), c.historyCommand(), c.revertCommand(),
		c.userCommand(), c.attributeCommand(), c.policyCommand(), c.radiusCommand(), c.tacacsCommand(), c.sessionsCommand(), c.ssoCommand(), c.grantCommand(), c.consentCommand(), c.keyCommand(), c.eventsCommand(), c.explainCommand(), c.simulateCommand(),
		c.deliveryCommand(), c.demoCommand(), c.clusterCommand(), c.backupCommand(), c.restoreCommand(), c.statusCommand(), c.versionCommand(), c.apiKeyCommand(),
	)
	return root
}

// parent is what a command that only has subcommands does.
func parent(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		cmd.SuggestionsMinimumDistance = 2
		err := fmt.Sprintf("there is no command %q", cmd.CommandPath()+" "+args[0])
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			err += fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
		}
		return usageError{errors.New(err)}
	}
	return cmd.Help()
}

// onNode returns what a command does with the node that the flags name.
func (c *cli) onNode(run func(cmd *cobra.Command, node *client.Client, words []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, words []string) error {
		node, err := c.client(cmd)
		if err != nil {
			return err
		}
		defer node.Close()
		return run(cmd, node, words)
	}
}

// client connects to the node that the flags name.
func (c *cli) client(cmd *cobra.Command) (*client.Client, error) {
	o := client.Options{Data: c.data, Server: c.server, Key: c.key, CA: c.ca, Insecure: c.insecure}
	if o.Key == "" {
		o.Key = os.Getenv("TRINE_API_KEY")
	}
	flags := cmd.Flags()
	if flags.Changed("data") && !flags.Changed("server") {
		o.Server = "" // what is said on the command line counts more than the environment
	} else if flags.Changed("data") && flags.Changed("server") {
		return nil, usagef("give either --data or --server")
	}
	node, err := client.New(o)
	if err != nil {
		return nil, usageError{err}
	}
	return node, nil
}

// usageError is an error of the command line.
type usageError struct{ error }

func usage(err error) error { return usageError{err} }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// refusedError is a refusal that has been shown already.
type refusedError struct{ error }

// args turns cobra's check of positional arguments into a usage error that shows how the command is used.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := check(cmd, given); err != nil {
			return usageError{fmt.Errorf("%w; usage: %s", err, cmd.UseLine())}
		}
		return nil
	}
}

// report shows what went wrong and returns the exit code.
func (c *cli) report(err error) int {
	if err == nil {
		return exitOK
	}
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(c.err, "trine: %v\n", err)
		return exitUsage
	}
	var refused refusedError
	if errors.As(err, &refused) {
		fmt.Fprintf(c.err, "trine: %v\n", err)
		return exitRefused
	}
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(c.err, "trine: interrupted")
		return exitFailure
	}
	var p *api.Problem
	if !errors.As(err, &p) {
		fmt.Fprintf(c.err, "trine: %v\n", err)
		return exitFailure
	}
	fmt.Fprintf(c.err, "trine: %s\n", printable(p.Detail))
	for i := range p.Errors {
		if p.Errors[i].Reason == p.Detail {
			continue // said already
		}
		fmt.Fprintf(c.err, "  %s\n", printable(p.Errors[i].String()))
	}
	if p.Status >= http.StatusInternalServerError && p.Reference != "" {
		fmt.Fprintf(c.err, "  (reference %s in the node's log)\n", p.Reference)
	}
	switch p.Reason {
	case api.ReasonInvalid, api.ReasonConflict, api.ReasonPrecondition:
		return exitRefused
	}
	return exitFailure
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
