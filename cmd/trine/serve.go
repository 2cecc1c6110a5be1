package main

import (
	"os"

	"github.com/spf13/cobra"

	"trine/appliance/node"
)

// serveCommand runs a node.
func (c *cli) serveCommand() *cobra.Command {
	settings := node.DefaultSettings()
	command := &cobra.Command{
		Use:   "serve",
		Short: "Run a node",
		Long: "Runs a node until it is told to stop (SIGTERM or SIGINT), which it does in order.\n\n" +
			"Each setting is a flag, an environment variable (TRINE_ and its name in capitals, - as _) and a key of the file that --config names.",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := settings.Read(cmd.Flags(), os.LookupEnv); err != nil {
				return usage(err)
			}
			return node.Serve(cmd.Context(), settings)
		},
	}
	settings.Flags(command.Flags())
	return command
}
