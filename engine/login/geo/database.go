package geo

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// ErrDamaged means that a database cannot be read, or that something in it cannot.
var ErrDamaged = errors.New("the geo database is damaged")

// Database is one database, held in memory. It never changes, and is safe for concurrent use. A nil Database knows no place.
type Database struct {
	reader *maxminddb.Reader
	// Made once so that looking up allocates nothing: the path of the region in a record, and room for records.
	region  []any
	records sync.Pool
}

// record is what is read of a database's records: fields of the City and Country databases of MaxMind, whose names others use, too.
type record struct {
	Country struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	City struct {
		Names names `maxminddb:"names"`
	} `maxminddb:"city"`
	Location struct {
		Latitude  float64 `maxminddb:"latitude"` // NaN: none
		Longitude float64 `maxminddb:"longitude"`
		Accuracy  uint16  `maxminddb:"accuracy_radius"`
	} `maxminddb:"location"`

	Region string `maxminddb:"-"`
}

type names struct {
	English string `maxminddb:"en"`
}

// New reads a database in MMDB format, and every record in it, so that damage is found now and not by a login. It keeps data, which must
// not be changed afterwards. Errors wrap ErrDamaged.
func New(data []byte) (*Database, error) {
	reader, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	d := &Database{reader: reader, region: []any{"subdivisions", 0, "names", "en"}}
	if err := d.verify(len(data)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return d, nil
}

// verify walks the whole tree and reads each record once.
func (d *Database) verify(size int) error {
	read := make([]uint64, size/64+1) // a bit for each place at which a record can begin
	records, useful := 0, false
	for r := range d.reader.Networks() {
		if err := r.Err(); err != nil {
			return err
		}
		at := r.Offset()
		if at/64 >= uintptr(len(read)) {
			return fmt.Errorf("the network %s has a record outside of the database", r.Prefix())
		}
		if read[at/64]&(1<<(at%64)) != 0 {
			continue
		}
		read[at/64] |= 1 << (at % 64)
		p, err := d.place(r)
		if err != nil {
			return fmt.Errorf("the network %s: %w", r.Prefix(), err)
		}
		records++
		useful = useful || p.Country != "" || p.Located
	}
	if records == 0 {
		return errors.New("it has no networks")
	}
	if !useful {
		return fmt.Errorf("it is of type %q and has neither countries nor coordinates", d.Type())
	}
	return nil
}

// Lookup returns where an address is; false where the database does not know. Apart from names that were not seen lately, it does not
// allocate.
func (d *Database) Lookup(address netip.Addr) (Place, bool) {
	if d == nil || !address.IsValid() {
		return Place{}, false
	}
	r := d.reader.Lookup(address.Unmap().WithZone(""))
	if !r.Found() {
		return Place{}, false
	}
	p, err := d.place(r)
	return p, err == nil && p != (Place{})
}

func (d *Database) place(found maxminddb.Result) (Place, error) {
	r, ok := d.records.Get().(*record)
	if !ok {
		r = new(record)
	}
	defer d.records.Put(r)
	*r = record{}
	r.Location.Latitude, r.Location.Longitude = math.NaN(), math.NaN()
	if err := found.Decode(r); err != nil {
		return Place{}, err
	}
	if err := found.DecodePath(&r.Region, d.region...); err != nil {
		return Place{}, err
	}
	p := Place{Country: r.Country.Code, Region: r.Region, City: r.City.Names.English}
	if c := p.Country; c != "" && (len(c) != 2 || c[0] < 'A' || c[0] > 'Z' || c[1] < 'A' || c[1] > 'Z') {
		return Place{}, fmt.Errorf("%q is not a country code", c)
	}
	if l := &r.Location; !math.IsNaN(l.Latitude) && !math.IsNaN(l.Longitude) {
		p.Located, p.Latitude, p.Longitude, p.Accuracy = true, l.Latitude, l.Longitude, int(l.Accuracy)
		if !(math.Abs(p.Latitude) <= 90 && math.Abs(p.Longitude) <= 180) {
			return Place{}, fmt.Errorf("%g, %g is not on earth", p.Latitude, p.Longitude)
		}
	}
	return p, nil
}

// Type is the database's type, such as "GeoLite2-City".
func (d *Database) Type() string { return d.reader.Metadata.DatabaseType }

// Built is when the database was made.
func (d *Database) Built() time.Time { return d.reader.Metadata.BuildTime().UTC() }

// Holder holds the database in force. The zero Holder holds none. It is safe for concurrent use.
type Holder struct{ current atomic.Pointer[Database] }

// Load returns the database in force; nil, which knows no place, if there is none.
func (h *Holder) Load() *Database { return h.current.Load() }

// Store puts a database in force.
func (h *Holder) Store(d *Database) { h.current.Store(d) }
