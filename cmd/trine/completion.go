package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// completionTime bounds what a completion may take: a shell waits for it.
const completionTime = 2 * time.Second

type completer = func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective)

// fixed completes to the given words.
func fixed(words ...string) completer {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// mustRegister adds a flag's completion. It fails only for a flag that does not exist.
func mustRegister(cmd *cobra.Command, flag string, f completer) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic("complete flag " + flag + ": " + err.Error())
	}
}

// completeKind completes a first argument to kinds, and, with names, a second one to the names of that kind.
func (c *cli) completeKind(names bool) completer {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		switch {
		case len(args) == 0:
			return c.complete(cmd, func(ctx context.Context, look lookup) ([]string, error) { return look.kinds(ctx) })
		case len(args) == 1 && names:
			return c.complete(cmd, func(ctx context.Context, look lookup) ([]string, error) { return look.names(ctx, args[0], toComplete) })
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeUser completes a first argument to users.
func (c *cli) completeUser(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.complete(cmd, func(ctx context.Context, look lookup) ([]string, error) { return look.names(ctx, "User", toComplete) })
}

// completeDocument completes a flag to the names of one kind.
func (c *cli) completeDocument(kind string) completer {
	return func(cmd *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		return c.complete(cmd, func(ctx context.Context, look lookup) ([]string, error) { return look.names(ctx, kind, toComplete) })
	}
}

// completeKey completes a first argument to the ids of API keys.
func (c *cli) completeKey(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.complete(cmd, func(ctx context.Context, look lookup) ([]string, error) { return look.keys(ctx) })
}

// complete asks the node; without one there is nothing to offer.
func (c *cli) complete(cmd *cobra.Command, ask func(context.Context, lookup) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	node, err := c.client(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer node.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	words, err := ask(ctx, lookup{node})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	slices.Sort(words)
	return words, cobra.ShellCompDirectiveNoFileComp
}
