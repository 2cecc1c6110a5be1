package main

import (
	"os"

	"github.com/spf13/cobra"

	"trine/appliance/worker"
)

// workerCommand is the child process in which a node hashes passwords. Nobody else calls it.
func (c *cli) workerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "worker",
		Short:  "Hash passwords for a node (started by it)",
		Hidden: true,
		Args:   cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			os.Exit(worker.Main(os.Stdin, os.Stdout))
		},
	}
}
