package kerberos

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"

	"trine/engine/secret"
)

// Bounds of a keytab.
const (
	MaxKeytab  = 1 << 20 // bytes
	MaxEntries = 4096
)

// ErrKeytab means that bytes are no keytab that can be used.
var ErrKeytab = errors.New("unusable keytab")

// Keytab holds the keys of services. It prints as a redacted secret.
type Keytab struct {
	entries []entry
}

// entry is one key of one service.
type entry struct {
	service principal
	version uint32 // the key's
	short   bool   // the file has only the last 8 bits of the version
	enctype int32
	key     []byte
}

// ParseKeytab reads a keytab as ktutil, kadmin and ktpass write it (version 0x502). It keeps nothing of its argument. It returns
// ErrKeytab, with what is wrong and never with the bytes, for anything malformed, too large, or without a single key.
func ParseKeytab(file []byte) (*Keytab, error) {
	if len(file) > MaxKeytab {
		return nil, fmt.Errorf("%w: %d bytes, and at most %d are taken", ErrKeytab, len(file), MaxKeytab)
	}
	in := cryptobyte.String(file)
	var version uint16
	if !in.ReadUint16(&version) || version != 0x502 {
		return nil, fmt.Errorf("%w: it does not begin with the bytes 05 02", ErrKeytab)
	}
	k := &Keytab{}
	for n := 1; !in.Empty(); n++ {
		var size uint32
		if !in.ReadUint32(&size) {
			return nil, fmt.Errorf("%w: it ends within entry %d", ErrKeytab, n)
		}
		if size == 0 {
			break
		}
		hole := int32(size) < 0 // an entry that was deleted
		if hole {
			size = -size
		}
		var body []byte
		if size > uint32(len(in)) || !in.ReadBytes(&body, int(size)) {
			return nil, fmt.Errorf("%w: it ends within entry %d", ErrKeytab, n)
		}
		if hole {
			continue
		}
		e, err := parseEntry(body)
		if err != nil {
			return nil, fmt.Errorf("%w: entry %d: %w", ErrKeytab, n, err)
		}
		if len(k.entries) == MaxEntries {
			return nil, fmt.Errorf("%w: more than %d entries", ErrKeytab, MaxEntries)
		}
		k.entries = append(k.entries, e)
	}
	if len(k.entries) == 0 {
		return nil, fmt.Errorf("%w: it holds no key", ErrKeytab)
	}
	// The newest key of a service is tried first where a ticket does not say which it is for.
	slices.SortStableFunc(k.entries, func(a, b entry) int { return int(int64(b.version) - int64(a.version)) })
	return k, nil
}

// parseEntry reads: components uint16, realm, components; name type uint32, timestamp uint32, version uint8, enctype uint16, key; and, in newer files,
// version uint32. Strings have a length of 16 bits.
func parseEntry(body []byte) (entry, error) {
	in := cryptobyte.String(body)
	var e entry
	var components, enctype uint16
	var nameType, timestamp uint32
	var version uint8
	var text cryptobyte.String
	if !in.ReadUint16(&components) || !in.ReadUint16LengthPrefixed(&text) {
		return e, errors.New("no principal")
	}
	e.service.realm = string(text)
	if components == 0 || components > maxComponents {
		return e, fmt.Errorf("a principal of %d components", components)
	}
	for range components {
		if !in.ReadUint16LengthPrefixed(&text) {
			return e, errors.New("no principal")
		}
		e.service.name = append(e.service.name, string(text))
	}
	if !in.ReadUint32(&nameType) || !in.ReadUint32(&timestamp) || !in.ReadUint8(&version) || !in.ReadUint16(&enctype) || !in.ReadUint16LengthPrefixed(&text) {
		return e, errors.New("no key")
	}
	e.version, e.short, e.enctype, e.key = uint32(version), true, int32(int16(enctype)), slices.Clone([]byte(text))
	var long uint32
	if in.ReadUint32(&long) && long != 0 {
		e.version, e.short = long, false
	}
	if size, known := keySize(e.enctype); known && len(e.key) != size {
		return e, fmt.Errorf("a key of %d bytes for %s, which has %d", len(e.key), enctypeName(e.enctype), size)
	}
	return e, nil
}

// Services lists the services that the keytab has keys for, each with the versions and encryption types, for people.
func (k *Keytab) Services() []string {
	var all []string
	for _, e := range k.entries {
		all = append(all, fmt.Sprintf("%s, version %d, %s", e.service, e.version, enctypeName(e.enctype)))
	}
	slices.Sort(all)
	return all
}

// find returns the keys with which a ticket can be encrypted, at most some, the newest first. A zero version fits every key.
func (k *Keytab) find(service *principal, version uint32, enctype int32) []*entry {
	var found []*entry
	for i := range k.entries {
		e := &k.entries[i]
		if e.enctype == enctype && e.service.equal(service) && len(found) < maxTries &&
			(version == 0 || e.version == version || e.short && e.version == version&0xff) {
			found = append(found, e)
		}
	}
	return found
}

// maxTries is the number of keys that are tried for one ticket.
const maxTries = 8

// Format shows a mark under every verb.
func (k *Keytab) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret.Mark) }

// LogValue shows a mark in logs.
func (k *Keytab) LogValue() slog.Value { return slog.StringValue(secret.Mark) }

// MarshalText encodes a mark.
func (k *Keytab) MarshalText() ([]byte, error) { return []byte(secret.Mark), nil }

// principal is a name in a realm. Names are case-sensitive.
type principal struct {
	name  []string
	realm string
}

// maxComponents is the number of components that a name may have.
const maxComponents = 8

func (p *principal) equal(q *principal) bool {
	return p.realm == q.realm && slices.Equal(p.name, q.name)
}

// String returns the principal as people write it, with a backslash before what would otherwise separate (RFC 1964 section 2.1.3).
func (p principal) String() string {
	escape := strings.NewReplacer(`\`, `\\`, "/", `\/`, "@", `\@`)
	var b strings.Builder
	for i, component := range p.name {
		if i > 0 {
			b.WriteByte('/')
		}
		b.WriteString(escape.Replace(component))
	}
	b.WriteByte('@')
	b.WriteString(escape.Replace(p.realm))
	return b.String()
}
