// Package demo is a relying party to look at: it sends a browser to an OpenID provider (authorization code with PKCE), shows what came back (claims, tokens, what
// the provider says of them), renews tokens, asks for more, and logs out from either side (RP-initiated, front-channel, back-channel). It keeps everything
// in memory, for one machine and one person; it is a demonstration and a test's browser target, and nothing to build an application on.
package demo
