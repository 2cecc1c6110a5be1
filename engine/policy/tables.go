package policy

import (
	"net/netip"

	"github.com/gaissmai/bart"

	"trine/engine/attribute"
	"trine/engine/document"
)

// tables is what a cache looks up. Nothing in it changes once the cache is published; tables that a change does not touch are
// shared with the cache before.
type tables struct {
	sources    []sources
	clients    map[string]*Client
	openID     map[string]*Client // of type oidc, by client id
	registrars map[string]*Client // of type oidc-dynamic, by name
	issuers    map[string]*issuerObject
	sites      map[string]*hostSites
	groups     map[string]*Group
	roles      map[string]*Role
	userTypes  map[string]*UserType
	systems    map[string]*System
	sharing    *sharing
	customs    *attribute.Customs // of all definitions; nil where there are none

	numberedRoles []*Role  // by their numbers; nil where there is none
	members       *members // the groups; nil where there are none
}

// keep puts a client where it is looked for.
func (t *tables) keep(c *Client) {
	t.clients[c.Name] = c
	if c.ClientID != "" {
		t.openID[c.ClientID] = c
	}
	if c.wire == document.TypeOIDCDynamic {
		t.registrars[c.Name] = c
	}
}

// drop takes a client away. Its client id may be another's by now.
func (t *tables) drop(name string, was *Client) {
	delete(t.clients, name)
	delete(t.registrars, name)
	if was != nil && t.openID[was.ClientID] == was {
		delete(t.openID, was.ClientID)
	}
}

// sources finds the clients of one wire by the address that a packet came from.
type sources struct {
	wire  string
	table *bart.Table[*Client]
}

func (t *tables) clientFor(wire string, addr netip.Addr) *Client {
	for i := range t.sources {
		if t.sources[i].wire == wire {
			c, _ := t.sources[i].table.Lookup(addr.Unmap())
			return c
		}
	}
	return nil
}
