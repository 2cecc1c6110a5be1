package login

import (
	"crypto/x509"
	"time"

	"trine/engine/credential/kerberos"
)

// TicketRules are what Tickets are made of, as a document has it.
type TicketRules struct {
	Keytab         []byte // the file
	Realm          string // whose principals are the users of their names; empty: none
	Realms         []TicketRealm
	RequireBinding bool
	RC4            bool
}

// TicketRealm says which users the principals of a realm are; see kerberos.Realm.
type TicketRealm struct {
	Name string
	Keep bool
	As   string
}

// Tickets accepts the Kerberos tickets that browsers send. It is safe for concurrent use.
type Tickets struct{ acceptor *kerberos.Acceptor }

// NewTickets reads the keytab and returns what accepts tickets for its services.
func NewTickets(r TicketRules) (*Tickets, error) {
	keytab, err := kerberos.ParseKeytab(r.Keytab)
	if err != nil {
		return nil, err
	}
	c := kerberos.Config{Keytab: keytab, RC4: r.RC4, RequireBinding: r.RequireBinding, Mapping: kerberos.Mapping{Realms: map[string]kerberos.Realm{}}}
	if r.Realm != "" {
		c.Mapping.Realms[r.Realm] = kerberos.Realm{}
	}
	for _, realm := range r.Realms {
		c.Mapping.Realms[realm.Name] = kerberos.Realm{Keep: realm.Keep, As: realm.As}
	}
	acceptor, err := kerberos.NewAcceptor(c)
	if err != nil {
		return nil, err
	}
	return &Tickets{acceptor}, nil
}

// Accept verifies what came in an Authorization header. Shown is the certificate that the node proved itself with on the connection, to which the ticket may be
// bound; nil behind a proxy.
func (t *Tickets) Accept(header string, shown *x509.Certificate, at time.Time) kerberos.Outcome {
	token, err := kerberos.FromHeader(header)
	if err != nil {
		return kerberos.Unread(err)
	}
	var binding []byte
	if shown != nil {
		binding = kerberos.ServerEndPoint(shown)
	}
	return t.acceptor.Accept(token, binding, at)
}
