package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"trine/appliance/demo"
	"trine/appliance/node"
)

// demoCommand is trine demo.
func (c *cli) demoCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "demo", Short: "Programs that show what a node does", Args: cobra.ArbitraryArgs, RunE: parent}
	cmd.AddCommand(c.demoRPCommand())
	return cmd
}

// demoRPCommand is trine demo rp.
func (c *cli) demoRPCommand() *cobra.Command {
	var o demo.Options
	var listen string
	cmd := &cobra.Command{
		Use:   "rp",
		Short: "Run a relying party that shows a login by OpenID Connect",
		Long: "Serve a web page that signs people in at an OpenID provider (authorization code with PKCE), shows their claims and the tokens, renews them,\n" +
			"and signs out, here or everywhere. It also takes front-channel and back-channel logouts. Without flags it is the client demo of the\n" +
			"quickstart's documents, and trusts the certificate that the node in the data directory made for itself.\n" +
			"For another client, its document must name the redirect URI ADDRESS/callback, the post-logout redirect URI ADDRESS/signed-out, and for\n" +
			"logouts ADDRESS/frontchannel-logout and ADDRESS/backchannel-logout. It keeps everything in memory until it is interrupted.",
		Example: "  trine demo rp\n" +
			"  trine demo rp --listen 127.0.0.1:8082 --client-id second --client-secret demo-secret\n" +
			"  trine demo rp --issuer https://sso.example.com --client-id test --ca issuer.pem",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Insecure, o.CA = c.insecure, c.ca
			if !cmd.Flags().Changed("client-secret") {
				if secret, set := os.LookupEnv("TRINE_CLIENT_SECRET"); set {
					o.ClientSecret = secret
				}
			}
			if own := filepath.Join(c.data, node.WebCertificateFile); o.CA == "" && !o.Insecure {
				if _, err := os.Stat(own); err == nil {
					o.CA = own
				}
			}
			address, err := netip.ParseAddrPort(listen)
			if err != nil || !address.Addr().IsLoopback() {
				return usagef("--listen %s is no address and port on loopback, such as 127.0.0.1:8081", listen)
			}
			listener, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", listen)
			if err != nil {
				return fmt.Errorf("listen for browsers: %w", err)
			}
			rp, err := demo.New(o, listener.Addr().(*net.TCPAddr).AddrPort())
			if err != nil {
				listener.Close()
				return usageError{err}
			}
			defer rp.Close()
			fmt.Fprintf(c.out, "Open %s in a browser; it signs in at %s as the client %s. End it with Ctrl-C.\n", rp.URL(), o.Issuer, o.ClientID)
			return serveUntil(cmd.Context(), listener, rp)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Issuer, "issuer", "https://localhost:1443", "issuer URL of the provider")
	f.StringVar(&o.ClientID, "client-id", "demo", "id of the client")
	f.StringVar(&o.ClientSecret, "client-secret", "demo-secret", "secret of the client, empty for a public one; better set in TRINE_CLIENT_SECRET, where other users cannot see it")
	f.StringSliceVar(&o.Scopes, "scope", []string{"profile", "email"}, "scopes to ask for beside openid")
	f.StringVar(&o.URL, "url", "", "where browsers find it, if not at the address that it listens on, such as http://app.localhost:8081")
	f.StringVar(&listen, "listen", "127.0.0.1:8081", "address and port on loopback")
	return cmd
}

// serveUntil serves until the context ends, and then a moment for what is under way.
func serveUntil(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve browsers: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop serving browsers: %w", err)
	}
	return nil
}
