package policy

import (
	"crypto/sha256"
	"crypto/subtle"
	"iter"
	"maps"
	"net/netip"
	"sync/atomic"
	"time"

	"trine/engine/attribute"
	"trine/engine/document"
	"trine/engine/login"
)

// Wire compiles the parts of documents that only a protocol understands. What it returns is opaque here and comes back to the
// protocol in a decision. Errors are for the author of the document: they name the attribute and what was expected.
type Wire interface {
	// Client compiles what a protocol needs of a service provider, such as its secrets with their derived keys.
	Client(sp *document.ServiceProvider) (any, error)
	// Reply compiles a reply template: lines such as "Tunnel-Type:1 = VLAN". An error about one line has, or wraps one with, a
	// method Line() int, which counts from 1.
	Reply(lines []string) (any, error)
	// Attribute resolves the name under which an attribute definition is sent (radiusID).
	Attribute(id string) (any, error)
	// Asked resolves the name of an attribute of requests that a condition asks for, and the value that it compares it with, which
	// comes back in the one form in which the protocol gives values; an empty value is none.
	Asked(name, value string) (attribute any, text string, err error)
}

// Cache is one compiled, immutable configuration.
type Cache struct {
	// Index is the log index of the last change that the cache contains.
	Index uint64
	// Built is when it was published.
	Built time.Time

	tables tables
}

// Client is a service provider of a packet protocol.
type Client struct {
	Name     string
	PublicID string
	ClientID string // of type oidc: its name in the protocol
	Spec     *document.ServiceProvider
	Issuer   *Issuer
	Wire     any // what Wire.Client made of it
	Reply    any // what Wire.Reply made of its own reply template; nil if it has none
	// Broken says why the document could not be compiled; every request through this client is then rejected with
	// reason config.broken. It is nil for a sound one.
	Broken error
	// InterimInterval and StaleAfter rule the client's network sessions; see document.RadiusClient.
	InterimInterval time.Duration
	StaleAfter      time.Duration
	// RequiredSystem is the information system in which a person needs an enabled account; empty if none.
	RequiredSystem string
	// RequiredRoles are the names of the roles of which a person needs one, for people to read; empty if none.
	RequiredRoles string
	// MACAuthentication says that devices are let in by their MAC addresses.
	MACAuthentication bool
	// UID makes the user name that the service sees; nil where it sees the one that logged in.
	UID *attribute.Computation
	// RecordFirst says that a login is answered only after its decision is recorded (audit: before-answer).
	RecordFirst bool
	// System is the name of the information system whose roles are the privilege levels at it; empty unless it speaks TACACS+.
	System string
	// Authorization is the script that has the last word on each authorization; nil if there is none.
	Authorization *AuthorizationScript

	wire          string
	party         *attribute.Party
	views         views
	requiredRoles []uint32
	rules         []Rule
	issuerErr     error // why nobody decides, or its identity provider cannot
}

// Issuer is the identity provider that decides for a client.
type Issuer struct {
	Name     string
	PublicID string
	Spec     *document.IdentityProvider
	// Radius and Tacacs are the methods that its profiles accept. All are false where the profile is off.
	Radius, Tacacs Methods
	// Login says which factors a login needs.
	Login *login.Policy
	// SSO says what its sessions of single sign-on are like. It is nil only where the document, or the one above it, cannot be read.
	SSO *SSO
	// Certificates are the client certificates that it accepts; nil: none.
	Certificates *login.Certificates
	// TrustedDevices says which devices can stand for a second factor; nil: none can.
	TrustedDevices *document.TrustedDevices
	// Tickets accepts Kerberos tickets; nil: none.
	Tickets *login.Tickets
	// URL is where it is on the web, such as https://sso.example.org:1443/partners; empty where it has no host name. It ends in no slash.
	URL string
	// Site is what the web front needs of it; nil where it has no host name.
	Site *Site

	own    own
	party  *attribute.Party
	access []access // its own and that of the one above it
}

// Methods are the ways of proving a password that a profile accepts.
type Methods struct{ ASCII, PAP, CHAP, MSCHAPv1, MSCHAPv2 bool }

// Clear reports whether a password may come as clear text.
func (m Methods) Clear() bool { return m.ASCII || m.PAP }

// System is an information system as far as it decides anything.
type System struct {
	Name   string
	Broken error // why the document cannot be read, or its secret not be opened

	enable [sha256.Size]byte // of the secret
	has    bool
}

// HasEnableSecret reports whether people type a secret of the system for `enable`, and not their own passwords. That is so also where the system is
// broken.
func (s *System) HasEnableSecret() bool { return s.has || s.Broken != nil }

// Enables reports whether the text is the enable secret. It takes the same time for every text of one length, and does not allocate.
func (s *System) Enables(text []byte) bool {
	given := sha256.Sum256(text)
	return s.has && subtle.ConstantTimeCompare(given[:], s.enable[:]) == 1
}

// Group is a group of people with what it adds to replies.
type Group struct {
	// What each login of a member looks at comes first, in one line of the processor's cache.
	roles    []grant // its own, then those of the groups above it; each once
	replying *Group  // this group or the nearest above it that has a reply; nil if none
	limit    int     // the smallest limit of this group and those above it
	broken   *Group  // this group or the nearest above it that is broken; nil if none
	number   uint32

	Name     string
	Parent   *Group
	Reply    any // nil if it has none
	Sessions int // simultaneous-use limit, 0: none
	Broken   error
}

// UserType is a kind of people, with their password policy.
type UserType struct {
	Name     string
	Spec     *document.UserType
	Sessions int   // simultaneous-use limit, 0: none
	Broken   error // why the document cannot be read; every login of the type is then rejected with reason config.broken
}

// ClientFor returns the client whose source prefix is the longest that contains addr, or nil. Wire is "radius" or "tacacs".
// It does not allocate.
func (c *Cache) ClientFor(wire string, addr netip.Addr) *Client {
	return c.tables.clientFor(wire, addr)
}

// Client returns the service provider document with that name, or nil.
func (c *Cache) Client(name string) *Client { return c.tables.clients[name] }

// OpenIDClient returns the service provider of type oidc with that client id, or nil. It does not allocate.
func (c *Cache) OpenIDClient(id []byte) *Client { return c.tables.openID[string(id)] }

// OpenIDClients returns the service providers of type oidc, in no order.
func (c *Cache) OpenIDClients() iter.Seq[*Client] { return maps.Values(c.tables.openID) }

// Registrars returns the service providers of type oidc-dynamic, in no order.
func (c *Cache) Registrars() iter.Seq[*Client] { return maps.Values(c.tables.registrars) }

// RegisteredBy returns the places of the clients of type oidc that were registered with the token of a service provider. It takes time for all clients of that
// type.
func (c *Cache) RegisteredBy(name string) (places map[int]bool) {
	places = map[int]bool{}
	for _, client := range c.tables.openID {
		if o := client.Spec.OIDC; o != nil && o.Registration != nil && o.Registration.By == name {
			places[o.Registration.Place] = true
		}
	}
	return places
}

// Group returns the group with that name, or nil. It does not allocate.
func (c *Cache) Group(name []byte) *Group { return c.tables.groups[string(name)] }

// Customs says which custom attributes the attribute definitions ask for, for Facts.Customs. It is nil where there are none.
func (c *Cache) Customs() *attribute.Customs { return c.tables.customs }

// GroupIn reports whether the group with a name is that of a number, or below it; see attribute.RequestNames.
func (c *Cache) GroupIn(name []byte, number uint32) bool {
	for g := c.Group(name); g != nil; g = g.Parent {
		if g.number == number {
			return true
		}
	}
	return false
}

// System returns the information system with that name, or nil. It does not allocate.
func (c *Cache) System(name string) *System { return c.tables.systems[name] }

// UserType returns the user type with that name, or nil; an empty name means the type named "default". It does not allocate.
func (c *Cache) UserType(name []byte) *UserType {
	if len(name) == 0 {
		return c.tables.userTypes["default"]
	}
	return c.tables.userTypes[string(name)]
}

// Holder publishes caches.
type Holder struct{ current atomic.Pointer[Cache] }

// Holding returns a holder of one cache that stays, such as a draft's.
func Holding(c *Cache) *Holder {
	h := new(Holder)
	h.current.Store(c)
	return h
}

// Load returns the cache in force; never nil once the compiler has published its first.
func (h *Holder) Load() *Cache { return h.current.Load() }
