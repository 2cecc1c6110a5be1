package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"trine/bench/https"
	"trine/bench/server"
)

const (
	idleMemory = 100 << 20 // resident, with one identity provider
	virtual    = 10_000    // identity providers, each with a client
	signing    = 100       // of them, whose keys are made
)

// virtualDocuments are identity providers below the local one, each with a path prefix and a client of its own.
func virtualDocuments() string {
	var b strings.Builder
	for i := range virtual {
		fmt.Fprintf(&b, `---
kind: IdentityProvider
name: virtual-%[1]d
spec: {type: local, parent: local, publicID: "https://trine.example.com/v%[1]d", pathPrefix: /v%[1]d, profiles: {openid: {enabled: true}}}
---
kind: ServiceProvider
name: client-%[1]d
spec: {type: oidc, identityProvider: virtual-%[1]d, oidc: {clientSecret: %[2]s, flows: {clientCredentials: true}, accessToken: jwt, allowedScopes: [read]}}
`, i, webSecret)
	}
	return b.String()
}

// measureWebMemory measures a node with one identity provider, and with many.
func measureWebMemory(ctx context.Context, s *settings, r *report) error {
	if err := needs("taskset"); err != nil {
		return err
	}
	var rows [][]string
	row := func(what, wanted, format string, a ...any) {
		rows = append(rows, []string{what, wanted, fmt.Sprintf(format, a...)})
	}
	few := &webBench{settings: s, shapes: map[string][]shape{}}
	r.progress("one identity provider")
	if err := few.prepare(ctx, "few", 1, ""); err != nil {
		return err
	}
	idle, err := few.rest(ctx)
	if err != nil {
		return err
	}
	defer few.node.Kill()
	row("resident, idle, one identity provider", "under "+megabytes(idleMemory), "%s (of which %s mapped files)", megabytes(idle.Memory), megabytes(idle.Files))
	one, err := few.issuers(ctx, "", "/")
	if err != nil {
		return err
	}
	if err := few.node.Stop(); err != nil {
		return err
	}

	many := &webBench{settings: s, shapes: map[string][]shape{}}
	r.progress("%d virtual identity providers, each with a client", virtual)
	began := time.Now()
	if err := many.prepare(ctx, "many", 1, virtualDocuments()); err != nil {
		return err
	}
	row(fmt.Sprintf("%d virtual identity providers and clients put in force at once", virtual), "", "%.1f s with the node's start and stop", time.Since(began).Seconds())
	full, err := many.rest(ctx)
	if err != nil {
		return err
	}
	defer many.node.Kill()
	row("resident, idle, with them", "", "%s, %.1f KiB each", megabytes(full.Memory), float64(full.Memory-idle.Memory)/virtual/1024)
	spread, err := many.issuers(ctx, "v%d", "/v%d/")
	if err != nil {
		return err
	}
	row("discovery, all of them in turn, share of the rate with one", "at least 95%", "%s (%.0f/s of %.0f/s)", percent(spread.discovery/one.discovery), spread.discovery, one.discovery)
	row(fmt.Sprintf("client credentials (ES256 JWT) at %d of them in turn, share of the rate with one", signing), "at least 95%", "%s (%.0f/s of %.0f/s)",
		percent(spread.credentials/one.credentials), spread.credentials, one.credentials)
	if err := many.node.Stop(); err != nil {
		return err
	}
	r.section("One identity provider, and many")
	r.text("Trine %s on one core.", many.node.Version())
	r.table([]string{"what", "wanted", "found"}, func(write func(...string)) {
		for _, cells := range rows {
			write(cells...)
		}
	})
	return nil
}

// rest starts the node and returns what it takes when it has had nothing to do for a while.
func (w *webBench) rest(ctx context.Context) (u server.Usage, err error) {
	if err := w.node.Start(ctx, w.serverCore); err != nil {
		return u, err
	}
	select {
	case <-ctx.Done():
		return u, ctx.Err()
	case <-time.After(10 * time.Second):
	}
	return w.node.Usage()
}

// issuersRates are what was measured at one identity provider or many, a second.
type issuersRates struct{ discovery, credentials float64 }

// issuers measures the identity providers below path prefixes, in turn; an empty pattern stands for the local one.
func (w *webBench) issuers(ctx context.Context, pattern, path string) (found issuersRates, err error) {
	discovery, credentials := &fixed{}, &fixed{}
	n, sign := virtual, signing
	if pattern == "" {
		n, sign = 1, 1
	}
	for i := range n {
		at, client := path, "machine-jwt"
		if pattern != "" {
			at, client = fmt.Sprintf(path, i), fmt.Sprintf("client-%d", i)
		}
		discovery.requests = append(discovery.requests, fmt.Appendf(nil, "GET %s.well-known/openid-configuration HTTP/1.1\r\nHost: %s\r\n\r\n", at, w.host))
		discovery.holds = append(discovery.holds, `"issuer"`)
		if i < sign {
			credentials.requests = append(credentials.requests, w.form(at+"token", client, "grant_type", "client_credentials", "scope", "read"))
			credentials.holds = append(credentials.holds, `"access_token"`)
		}
	}
	// The first token of each has its keys made.
	c, err := https.Dial(ctx, w.node.Web, 0, config())
	if err != nil {
		return found, err
	}
	for range credentials.requests {
		if err := credentials.Do(c); err != nil {
			return found, err
		}
	}
	if err := c.Close(); err != nil {
		return found, err
	}
	for rate, load := range map[*float64]*fixed{&found.discovery: discovery, &found.credentials: credentials} {
		var visitors []https.Visitor
		for i := range webVisitors {
			visitors = append(visitors, &fixed{requests: load.requests, holds: load.holds, next: i * len(load.requests) / webVisitors})
		}
		o := https.Options{Duration: time.Second, TLS: config()}
		if _, err := https.Run(ctx, w.node.Web, visitors, o); err != nil {
			return found, err
		}
		o.Duration = w.window
		result, err := https.Run(ctx, w.node.Web, visitors, o)
		if err != nil {
			return found, err
		}
		*rate = result.Rate()
	}
	return found, nil
}
