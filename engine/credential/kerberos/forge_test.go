package kerberos

import (
	"cmp"
	"encoding/asn1"
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// noon is when forged tickets are used.
var noon = time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)

// forgery is a token that a test makes as a KDC and a client would, with the service's key. Each field may be set to what no KDC would write.
type forgery struct {
	enctype, session int32
	proofType        int32 // what the authenticator says that session is
	ticketType       int32 // what the ticket says that enctype is
	key, sessionKey  []byte
	version          int64
	service          principal
	client, claimed  principal // in the ticket, in the authenticator
	flags, options   uint32
	authAt, ends     time.Time
	starts           *time.Time
	at               time.Time
	micro            int64
	checksum         int64
	binding          []byte // a hash of 16 bytes
	mechanism        asn1.ObjectIdentifier
	spnego           bool
	extra            func(*cryptobyte.Builder) // at the end of the ticket
	keepTicket       int                       // so many bytes of its ciphertext; less than 0: leave so many out; 0: all
	keepProof        int
}

func key(enctype int32) []byte {
	size, _ := keySize(enctype)
	k := make([]byte, size)
	for i := range k {
		k[i] = byte(i) + byte(enctype)
	}
	return k
}

// honest returns a token of alice, as it should be.
func honest() *forgery {
	alice := principal{name: []string{"alice"}, realm: "EXAMPLE.TEST"}
	return &forgery{
		enctype: aes256SHA1, session: aes256SHA1, key: key(aes256SHA1), sessionKey: make([]byte, 32), version: 2,
		service: principal{name: []string{"HTTP", "idp.example.test"}, realm: "EXAMPLE.TEST"}, client: alice, claimed: alice,
		options: flag(2), authAt: noon.Add(-time.Hour), ends: noon.Add(time.Hour), at: noon, micro: 123456,
		checksum: gssChecksum, mechanism: oidKerberos, spnego: true,
	}
}

func nested(b *cryptobyte.Builder, tags []cbasn1.Tag, f func(*cryptobyte.Builder)) {
	if len(tags) == 0 {
		f(b)
		return
	}
	b.AddASN1(tags[0], func(b *cryptobyte.Builder) { nested(b, tags[1:], f) })
}

func integer(b *cryptobyte.Builder, n uint8, i int64) {
	nested(b, []cbasn1.Tag{explicit(n)}, func(b *cryptobyte.Builder) { b.AddASN1Int64(i) })
}

func octets(b *cryptobyte.Builder, n uint8, v []byte) {
	nested(b, []cbasn1.Tag{explicit(n)}, func(b *cryptobyte.Builder) { b.AddASN1OctetString(v) })
}

func general(b *cryptobyte.Builder, text string) {
	b.AddASN1(cbasn1.GeneralString, func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
}

func names(b *cryptobyte.Builder, realm, name uint8, p principal) {
	nested(b, []cbasn1.Tag{explicit(realm)}, func(b *cryptobyte.Builder) { general(b, p.realm) })
	nested(b, []cbasn1.Tag{explicit(name), cbasn1.SEQUENCE}, func(b *cryptobyte.Builder) {
		integer(b, 0, 1)
		nested(b, []cbasn1.Tag{explicit(1), cbasn1.SEQUENCE}, func(b *cryptobyte.Builder) {
			for _, component := range p.name {
				general(b, component)
			}
		})
	})
}

func bits(b *cryptobyte.Builder, n uint8, flags uint32) {
	nested(b, []cbasn1.Tag{explicit(n)}, func(b *cryptobyte.Builder) { b.AddASN1BitString(binary.BigEndian.AppendUint32(nil, flags)) })
}

func stamped(b *cryptobyte.Builder, n uint8, t time.Time) {
	nested(b, []cbasn1.Tag{explicit(n)}, func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(t) })
}

func encrypted(b *cryptobyte.Builder, n uint8, enctype int32, version int64, cipher []byte) {
	nested(b, []cbasn1.Tag{explicit(n), cbasn1.SEQUENCE}, func(b *cryptobyte.Builder) {
		integer(b, 0, int64(enctype))
		if version != 0 {
			integer(b, 1, version)
		}
		octets(b, 2, cipher)
	})
}

func (f *forgery) ticketPart() []byte {
	var b cryptobyte.Builder
	nested(&b, []cbasn1.Tag{application(3), cbasn1.SEQUENCE}, func(b *cryptobyte.Builder) {
		bits(b, 0, f.flags)
		nested(b, []cbasn1.Tag{explicit(1), cbasn1.SEQUENCE}, func(b *cryptobyte.Builder) {
			integer(b, 0, int64(f.session))
			octets(b, 1, f.sessionKey)
		})
		names(b, 2, 3, f.client)
		nested(b, []cbasn1.Tag{explicit(4), cbasn1.SEQUENCE}, func(b *cryptobyte.Builder) {
			integer(b, 0, 1)
			octets(b, 1, nil)
		})
		stamped(b, 5, f.authAt)
		if f.starts != nil {
			stamped(b, 6, *f.starts)
		}
		stamped(b, 7, f.ends)
		if f.extra != nil {
			f.extra(b)
		}
	})
	return b.BytesOrPanic()
}

func (f *forgery) authenticatorPart() []byte {
	var b cryptobyte.Builder
	nested(&b, []cbasn1.Tag{application(2), cbasn1.SEQUENCE}, func(b *cryptobyte.Builder) {
		integer(b, 0, 5)
		names(b, 1, 2, f.claimed)
		if f.checksum != 0 {
			nested(b, []cbasn1.Tag{explicit(3), cbasn1.SEQUENCE}, func(b *cryptobyte.Builder) {
				integer(b, 0, f.checksum)
				value := make([]byte, 24)
				value[0] = 16
				copy(value[4:20], f.binding)
				octets(b, 1, value)
			})
		}
		integer(b, 4, f.micro)
		stamped(b, 5, f.at)
		integer(b, 7, 99)
	})
	return b.BytesOrPanic()
}

func (f *forgery) token(t testing.TB) []byte {
	t.Helper()
	seal := func(enctype int32, key []byte, usage uint32, plain []byte) []byte {
		cipher, err := encrypt(enctype, key, usage, plain)
		if err != nil {
			t.Fatal(err)
		}
		return cipher
	}
	ticket := seal(f.enctype, f.key, usageTicket, f.ticketPart())
	proof := seal(f.session, f.sessionKey, usageAuthenticator, f.authenticatorPart())
	var b cryptobyte.Builder
	b.AddASN1(application(0), func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(f.mechanism)
		b.AddBytes(tokenRequest[:])
		nested(b, []cbasn1.Tag{application(14), cbasn1.SEQUENCE}, func(b *cryptobyte.Builder) {
			integer(b, 0, 5)
			integer(b, 1, 14)
			bits(b, 2, f.options)
			nested(b, []cbasn1.Tag{explicit(3), application(1), cbasn1.SEQUENCE}, func(b *cryptobyte.Builder) {
				integer(b, 0, 5)
				names(b, 1, 2, f.service)
				encrypted(b, 3, cmp.Or(f.ticketType, f.enctype), f.version, keep(ticket, f.keepTicket))
			})
			encrypted(b, 4, cmp.Or(f.proofType, f.session), 0, keep(proof, f.keepProof))
		})
	})
	token := b.BytesOrPanic()
	if !f.spnego {
		return token
	}
	return spnego(token, f.mechanism)
}

// spnego wraps a token as a client offers it.
func spnego(token []byte, mechanisms ...asn1.ObjectIdentifier) []byte {
	var b cryptobyte.Builder
	b.AddASN1(application(0), func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidSPNEGO)
		nested(b, []cbasn1.Tag{explicit(0), cbasn1.SEQUENCE}, func(b *cryptobyte.Builder) {
			nested(b, []cbasn1.Tag{explicit(0), cbasn1.SEQUENCE}, func(b *cryptobyte.Builder) {
				for _, oid := range mechanisms {
					b.AddASN1ObjectIdentifier(oid)
				}
			})
			if token != nil {
				octets(b, 2, token)
			}
		})
	})
	return b.BytesOrPanic()
}

// keytabOf returns a keytab file with one key.
func keytabOf(service principal, version uint32, enctype int32, key []byte) []byte {
	var e cryptobyte.Builder
	text := func(s string) {
		e.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) })
	}
	e.AddUint16(uint16(len(service.name)))
	text(service.realm)
	for _, component := range service.name {
		text(component)
	}
	e.AddUint32(1)
	e.AddUint32(0)
	e.AddUint8(uint8(version))
	e.AddUint16(uint16(enctype))
	text(string(key))
	e.AddUint32(version)
	body := e.BytesOrPanic()
	return append(binary.BigEndian.AppendUint32([]byte{5, 2}, uint32(len(body))), body...)
}

func keep(b []byte, n int) []byte {
	switch {
	case n > 0:
		return b[:n]
	case n < 0:
		return b[:len(b)+n]
	}
	return b
}
