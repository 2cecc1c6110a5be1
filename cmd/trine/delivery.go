package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"trine/appliance/admin/api"
)

// deliveryCommand is trine delivery.
func (c *cli) deliveryCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "delivery", Short: "Try mail, text messages and push", Args: cobra.ArbitraryArgs, RunE: parent}
	cmd.AddCommand(c.deliveryTestCommand())
	return cmd
}

// deliveryTestCommand is trine delivery test.
func (c *cli) deliveryTestCommand() *cobra.Command {
	var m api.TestMessage
	cmd := &cobra.Command{
		Use:   "test mail|sms|push --to RECIPIENT",
		Short: "Send a test message",
		Long: "Send a test message by the MessageGateway of the channel, within its limits, and tell what became of it. Delivered means\n" +
			"that the next server on the way took the message. Exit code 1 says that none did.",
		Example:           "  trine delivery test mail --to alice@example.com\n  trine delivery test sms --to +491701234567 --language de",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: fixed("mail", "sms", "push"),
		RunE: func(cmd *cobra.Command, words []string) error {
			if m.Channel = words[0]; !slices.Contains([]string{"mail", "sms", "push"}, m.Channel) {
				return usagef("%q is none of mail, sms, push", m.Channel)
			}
			if m.To == "" {
				return usagef("name the recipient with --to")
			}
			node, err := c.client(cmd)
			if err != nil {
				return err
			}
			defer node.Close()
			d, err := node.TestDelivery(cmd.Context(), m)
			if err != nil {
				return err
			}
			if err := c.showDelivery(d); err != nil {
				return err
			}
			if !d.Delivered {
				return errors.New("the message was not delivered")
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&m.To, "to", "", "mail address, telephone number or device as `recipient`")
	cmd.Flags().StringVar(&m.Language, "language", "", "language of the message (default the gateway's)")
	return cmd
}

func (c *cli) showDelivery(d *api.Delivery) error {
	return c.show(d, func(w io.Writer) error {
		if d.Delivered {
			_, err := fmt.Fprintf(w, "%s by the gateway %s after %s (%d ms).\n", c.paint(green, "Delivered"), printable(d.Gateway), counted(d.Attempts, "attempt", "attempts"), d.Millis)
			return err
		}
		fmt.Fprintf(w, "%s: %s\n", c.paint(red, d.Reason), printable(d.Error))
		if d.Advice != "" {
			fmt.Fprintf(w, "What to do: %s\n", d.Advice)
		}
		return nil
	})
}
