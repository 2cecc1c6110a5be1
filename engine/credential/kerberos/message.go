package kerberos

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// errDER means that a message does not have its form.
var errDER = errors.New("it does not have the form of RFC 4120")

func application(n uint8) cbasn1.Tag { return cbasn1.Tag(n | 0x60) }
func explicit(n uint8) cbasn1.Tag    { return cbasn1.Tag(n).ContextSpecific().Constructed() }

// reader reads the fields of a SEQUENCE, each in an explicit tag. After something that is not as it should be it reads nothing more, so that
// only its end has to be looked at.
type reader struct {
	in  cryptobyte.String
	bad bool
}

// open returns a reader of the fields of a SEQUENCE in an application tag.
func open(der []byte, tag uint8) reader {
	var outer, body cryptobyte.String
	in := cryptobyte.String(der)
	ok := in.ReadASN1(&outer, application(tag)) && in.Empty() && outer.ReadASN1(&body, cbasn1.SEQUENCE) && outer.Empty()
	return reader{in: body, bad: !ok}
}

// end returns errDER if a field was not as it should be, or if there are more than were read.
func (r *reader) end() error {
	if r.bad || !r.in.Empty() {
		return errDER
	}
	return nil
}

// field returns the content of a field.
func (r *reader) field(n uint8) cryptobyte.String {
	var value cryptobyte.String
	if r.bad = r.bad || !r.in.ReadASN1(&value, explicit(n)); r.bad {
		return nil
	}
	return value
}

// optional returns the content of a field, and whether it is there.
func (r *reader) optional(n uint8) (cryptobyte.String, bool) {
	if r.bad || !r.in.PeekASN1Tag(explicit(n)) {
		return nil, false
	}
	return r.field(n), true
}

// sequence returns a reader of the fields of a field that is a SEQUENCE. Its end is for the caller to look at.
func (r *reader) sequence(n uint8) reader {
	value := r.field(n)
	var body cryptobyte.String
	if r.bad = r.bad || !value.ReadASN1(&body, cbasn1.SEQUENCE) || !value.Empty(); r.bad {
		return reader{bad: true}
	}
	return reader{in: body}
}

func (r *reader) integer(n uint8) int64 { return r.asInteger(r.field(n)) }

func (r *reader) asInteger(value cryptobyte.String) int64 {
	var i int64
	r.bad = r.bad || !value.ReadASN1Integer(&i) || !value.Empty()
	return i
}

func (r *reader) octets(n uint8) []byte {
	value := r.field(n)
	var octets cryptobyte.String
	r.bad = r.bad || !value.ReadASN1(&octets, cbasn1.OCTET_STRING) || !value.Empty()
	return octets
}

// flags returns the first 32 bits of a KerberosFlags; bit 0 is the highest.
func (r *reader) flags(n uint8) uint32 {
	value := r.field(n)
	var bits []byte
	r.bad = r.bad || !value.ReadASN1BitStringAsBytes(&bits) || !value.Empty()
	var flags uint32
	for i := range min(len(bits), 4) {
		flags |= uint32(bits[i]) << (24 - 8*i)
	}
	return flags
}

// flag returns bit n as RFC 4120 counts them.
func flag(n uint) uint32 { return 1 << (31 - n) }

func (r *reader) time(n uint8) time.Time { return r.asTime(r.field(n)) }

func (r *reader) asTime(value cryptobyte.String) time.Time {
	var t time.Time
	r.bad = r.bad || !value.ReadASN1GeneralizedTime(&t) || !value.Empty()
	return t
}

// text returns a KerberosString: a GeneralString, in fact of UTF-8.
func (r *reader) text(n uint8) string { return r.asText(r.field(n)) }

func (r *reader) asText(value cryptobyte.String) string {
	text := r.general(&value)
	r.bad = r.bad || !value.Empty()
	return text
}

func (r *reader) general(in *cryptobyte.String) string {
	var text cryptobyte.String
	if r.bad = r.bad || !in.ReadASN1(&text, cbasn1.GeneralString) || len(text) > 256 || !utf8.Valid(text); r.bad {
		return ""
	}
	return string(text)
}

// name returns a PrincipalName ::= SEQUENCE { name-type [0] Int32, name-string [1] SEQUENCE OF KerberosString }.
func (r *reader) name(n uint8) []string {
	of := r.sequence(n)
	of.integer(0)
	names := of.sequence(1)
	var name []string
	for !names.bad && !names.in.Empty() {
		name = append(name, names.general(&names.in))
		names.bad = names.bad || len(name) > maxComponents
	}
	r.bad = r.bad || of.end() != nil || names.bad || len(name) == 0
	return name
}

// sealed is EncryptedData ::= SEQUENCE { etype [0] Int32, kvno [1] UInt32 OPTIONAL, cipher [2] OCTET STRING }.
type sealed struct {
	enctype int32
	version uint32 // of the key; 0 if it is not said
	cipher  []byte
}

func (r *reader) sealed(n uint8) sealed {
	of := r.sequence(n)
	enctype := of.integer(0)
	var version int64
	if value, ok := of.optional(1); ok {
		version = of.asInteger(value)
	}
	s := sealed{enctype: int32(enctype), version: uint32(version), cipher: of.octets(2)} // some KDCs write a version above 2^31 as negative
	r.bad = r.bad || of.end() != nil || int64(s.enctype) != enctype || version < -1<<31 || version >= 1<<32
	return s
}

// key returns an EncryptionKey ::= SEQUENCE { keytype [0] Int32, keyvalue [1] OCTET STRING }.
func (r *reader) key(n uint8) (int32, []byte) {
	of := r.sequence(n)
	enctype, key := of.integer(0), of.octets(1)
	r.bad = r.bad || of.end() != nil || int64(int32(enctype)) != enctype
	return int32(enctype), key
}

// request is AP-REQ (RFC 4120 section 5.5.1) with the ticket that is in it.
type request struct {
	options       uint32
	service       principal
	ticket        sealed
	authenticator sealed
}

func parseRequest(der []byte) (request, error) {
	var q request
	r := open(der, 14)
	version, kind := r.integer(0), r.integer(1)
	q.options = r.flags(2)
	ticket := open(r.field(3), 1)
	ticketVersion := ticket.integer(0)
	q.service.realm = ticket.text(1)
	q.service.name = ticket.name(2)
	q.ticket = ticket.sealed(3)
	q.authenticator = r.sealed(4)
	if r.end() != nil || ticket.end() != nil {
		return q, fmt.Errorf("AP-REQ: %w", errDER)
	}
	if version != 5 || ticketVersion != 5 || kind != 14 {
		return q, fmt.Errorf("AP-REQ: version %d, type %d, ticket version %d, which are not 5, 14 and 5", version, kind, ticketVersion)
	}
	return q, nil
}

// ticket is EncTicketPart (RFC 4120 section 5.3) as far as it is used: caddr and authorization-data are passed over.
type ticket struct {
	flags   uint32
	enctype int32
	key     []byte // of the session
	client  principal
	authAt  time.Time
	starts  time.Time
	ends    time.Time
}

func parseTicket(der []byte) (ticket, error) {
	var t ticket
	r := open(der, 3)
	t.flags = r.flags(0)
	t.enctype, t.key = r.key(1)
	t.client.realm = r.text(2)
	t.client.name = r.name(3)
	r.field(4)
	t.authAt = r.time(5)
	t.starts = t.authAt
	if value, ok := r.optional(6); ok {
		t.starts = r.asTime(value)
	}
	t.ends = r.time(7)
	for n := uint8(8); n <= 10; n++ {
		r.optional(n)
	}
	if r.end() != nil {
		return t, fmt.Errorf("ticket: %w", errDER)
	}
	return t, nil
}

// authenticator is Authenticator (RFC 4120 section 5.5.1) as far as it is used.
type authenticator struct {
	client   principal
	checksum []byte // of the GSS-API (RFC 4121 section 4.1.1); nil if there is none
	at       time.Time
	second   time.Time // at, without its microseconds
	micro    int64
}

// gssChecksum is the type of the checksum that holds what GSS-API says beside the ticket.
const gssChecksum = 0x8003

func parseAuthenticator(der []byte) (authenticator, error) {
	var a authenticator
	r := open(der, 2)
	version := r.integer(0)
	a.client.realm = r.text(1)
	a.client.name = r.name(2)
	if r.in.PeekASN1Tag(explicit(3)) {
		of := r.sequence(3)
		kind, value := of.integer(0), of.octets(1)
		r.bad = r.bad || of.end() != nil
		if kind == gssChecksum {
			a.checksum = value
		}
	}
	a.micro = r.integer(4)
	a.second = r.time(5)
	for n := uint8(6); n <= 8; n++ {
		r.optional(n)
	}
	if r.end() != nil || version != 5 || a.micro < 0 || a.micro > 999_999 {
		return a, fmt.Errorf("authenticator: %w", errDER)
	}
	a.at = a.second.Add(time.Duration(a.micro) * time.Microsecond)
	return a, nil
}

// reply returns AP-REP (RFC 4120 section 5.5.2), which proves that the service could read the ticket: the authenticator's time under the session's
// key. The sequence number is where the service's messages would begin; there are none.
func reply(t *ticket, a *authenticator, sequence uint32) ([]byte, error) {
	var part cryptobyte.Builder
	part.AddASN1(application(27), func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(a.second.UTC()) })
			b.AddASN1(explicit(1), func(b *cryptobyte.Builder) { b.AddASN1Int64(a.micro) })
			b.AddASN1(explicit(3), func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(sequence)) })
		})
	})
	plain, err := part.Bytes()
	if err != nil {
		return nil, fmt.Errorf("make AP-REP: %w", err)
	}
	cipher, err := encrypt(t.enctype, t.key, usageReply, plain)
	if err != nil {
		return nil, fmt.Errorf("make AP-REP: %w", err)
	}
	var whole cryptobyte.Builder
	whole.AddASN1(application(15), func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddASN1Int64(5) })
			b.AddASN1(explicit(1), func(b *cryptobyte.Builder) { b.AddASN1Int64(15) })
			b.AddASN1(explicit(2), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(t.enctype)) })
					b.AddASN1(explicit(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(cipher) })
				})
			})
		})
	})
	return whole.Bytes()
}
