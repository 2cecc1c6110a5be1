package geo

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"pgregory.net/rapid"
)

// zurich and its like are records as the City databases have them.
func city(country, region, name string, latitude, longitude float64, accuracy uint16) mmdbtype.Map {
	m := mmdbtype.Map{
		"country":  mmdbtype.Map{"iso_code": mmdbtype.String(country), "names": mmdbtype.Map{"en": mmdbtype.String("Country " + country), "de": mmdbtype.String("Land " + country)}},
		"city":     mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(name), "de": mmdbtype.String(name + " (de)")}},
		"location": mmdbtype.Map{"latitude": mmdbtype.Float64(latitude), "longitude": mmdbtype.Float64(longitude), "accuracy_radius": mmdbtype.Uint16(accuracy), "time_zone": mmdbtype.String("Europe/Zurich")},
	}
	if region != "" {
		m["subdivisions"] = mmdbtype.Slice{
			mmdbtype.Map{"iso_code": mmdbtype.String("X"), "names": mmdbtype.Map{"en": mmdbtype.String(region)}},
			mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String("a district")}},
		}
	}
	return m
}

var networks = map[string]mmdbtype.DataType{
	"81.2.69.0/24":       city("GB", "England", "London", 51.5142, -0.0931, 10),
	"89.160.20.128/25":   city("SE", "Östergötland County", "Linköping", 58.4167, 15.6167, 76),
	"2001:218::/32":      mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String("JP")}},
	"2a02:d000:1::/48":   city("CH", "Zurich", "Zurich", 47.3667, 8.55, 0),
	"216.160.83.56/32":   mmdbtype.Map{"registered_country": mmdbtype.Map{"iso_code": mmdbtype.String("US")}},
	"175.16.199.0/24":    mmdbtype.Map{"location": mmdbtype.Map{"latitude": mmdbtype.Float64(0), "longitude": mmdbtype.Float64(0)}},
	"2a02:cf40:1:2::/64": mmdbtype.Map{"location": mmdbtype.Map{"latitude": mmdbtype.Float64(1)}, "country": mmdbtype.Map{"iso_code": mmdbtype.String("NO")}},
}

func build(t testing.TB, of map[string]mmdbtype.DataType) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-City", BuildEpoch: 1_700_000_000, Description: map[string]string{"en": "test"}, Languages: []string{"en"}})
	if err != nil {
		t.Fatal(err)
	}
	for network, value := range of {
		_, n, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(n, value); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(t testing.TB, data []byte) *Database {
	t.Helper()
	d, err := New(data)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAddressIsFoundWhereTheDatabaseHasIt(t *testing.T) {
	d := open(t, build(t, networks))
	if d.Type() != "Test-City" || !d.Built().Equal(time.Unix(1_700_000_000, 0)) {
		t.Error(d.Type(), d.Built())
	}
	for _, test := range []struct {
		address string
		want    Place
		words   string
	}{
		{"81.2.69.160", Place{"GB", "England", "London", true, 51.5142, -0.0931, 10}, "London, England, GB"},
		{"::ffff:81.2.69.160", Place{"GB", "England", "London", true, 51.5142, -0.0931, 10}, "London, England, GB"},
		{"89.160.20.200", Place{"SE", "Östergötland County", "Linköping", true, 58.4167, 15.6167, 76}, "Linköping, Östergötland County, SE"},
		{"2001:218::1", Place{Country: "JP"}, "JP"},
		{"2001:218::1%eth0", Place{Country: "JP"}, "JP"},
		{"2a02:d000:1::5", Place{"CH", "Zurich", "Zurich", true, 47.3667, 8.55, 0}, "Zurich, CH"},
		{"175.16.199.1", Place{Located: true}, ""},
		{"2a02:cf40:1:2::1", Place{Country: "NO"}, "NO"},
		{"216.160.83.56", Place{}, ""}, // registered somewhere is not being there
		{"89.160.20.1", Place{}, ""},
		{"127.0.0.1", Place{}, ""},
		{"::1", Place{}, ""},
	} {
		got, ok := d.Lookup(netip.MustParseAddr(test.address))
		if got != test.want || ok != (test.want != Place{}) || got.String() != test.words {
			t.Errorf("%s: %+v %v %q", test.address, got, ok, got)
		}
	}
	if _, ok := d.Lookup(netip.Addr{}); ok {
		t.Error("no address has a place")
	}
	if _, ok := (*Database)(nil).Lookup(netip.MustParseAddr("81.2.69.160")); ok {
		t.Error("no database knows a place")
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	d := open(t, build(t, networks))
	addresses := []netip.Addr{netip.MustParseAddr("81.2.69.160"), netip.MustParseAddr("2a02:d000:1::5"), netip.MustParseAddr("127.0.0.1")}
	if n := testing.AllocsPerRun(1000, func() {
		for _, a := range addresses {
			d.Lookup(a)
		}
	}); n >= 1 && !raceDetector {
		t.Errorf("%v allocations", n)
	}
}

func TestDamagedDatabaseIsRefused(t *testing.T) {
	good := build(t, networks)
	for name, data := range map[string][]byte{
		"empty": nil, "no database": []byte("<html>not found</html>"), "cut off": good[:len(good)/2], "head missing": good[100:],
		"no networks":     build(t, nil),
		"other data":      build(t, map[string]mmdbtype.DataType{"81.2.69.0/24": mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(1)}}),
		"other types":     build(t, map[string]mmdbtype.DataType{"81.2.69.0/24": mmdbtype.Map{"country": mmdbtype.String("GB")}}),
		"no country code": build(t, map[string]mmdbtype.DataType{"81.2.69.0/24": city("gb", "", "x", 0, 0, 0)}),
		"not on earth":    build(t, map[string]mmdbtype.DataType{"81.2.69.0/24": city("GB", "", "x", 91, 0, 0)}),
		"infinitely far":  build(t, map[string]mmdbtype.DataType{"81.2.69.0/24": city("GB", "", "x", 0, math.Inf(1), 0)}),
		"no list of regions": build(t, map[string]mmdbtype.DataType{"81.2.69.0/24": mmdbtype.Map{
			"country": mmdbtype.Map{"iso_code": mmdbtype.String("GB")}, "subdivisions": mmdbtype.Slice{mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.Uint32(4)}}},
		}}),
	} {
		if _, err := New(data); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever bytes are damaged: the database is refused, or every lookup returns.
func TestDamageNeverPanics(t *testing.T) {
	good := build(t, networks)
	rapid.Check(t, func(t *rapid.T) {
		data := bytes.Clone(good)
		for range rapid.IntRange(1, 20).Draw(t, "bytes") {
			data[rapid.IntRange(0, len(data)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "value")
		}
		d, err := New(data)
		if err != nil {
			return
		}
		for network := range networks {
			p, _ := d.Lookup(netip.MustParsePrefix(network).Addr())
			if p.Located && !(math.Abs(p.Latitude) <= 90 && math.Abs(p.Longitude) <= 180) {
				t.Fatalf("%+v", p)
			}
		}
	})
}

func FuzzDatabase(f *testing.F) {
	f.Add(build(f, networks), []byte{81, 2, 69, 160})
	f.Fuzz(func(_ *testing.T, data, address []byte) {
		d, err := New(data)
		if err != nil {
			return
		}
		if a, ok := netip.AddrFromSlice(address); ok {
			d.Lookup(a)
		}
	})
}

func TestDistanceIsThatOfTheGreatCircle(t *testing.T) {
	at := func(latitude, longitude float64) Place {
		return Place{Located: true, Latitude: latitude, Longitude: longitude}
	}
	for _, test := range []struct {
		name string
		a, b Place
		want float64
	}{
		{"London, New York", at(51.5074, -0.1278), at(40.7128, -74.0060), 5570},
		{"Sydney, Santiago, across the date line", at(-33.8688, 151.2093), at(-33.4489, -70.6693), 11340},
		{"pole to pole", at(90, 0), at(-90, 123), math.Pi * earthRadius},
		{"antipodes", at(10, 20), at(-10, -160), math.Pi * earthRadius},
		{"the same", at(47, 8), at(47, 8), 0},
		{"a hundred metres", at(0, 0), at(0, 0.0008993), 0.1},
		{"one degree of the equator", at(0, 179.5), at(0, -179.5), 111.195},
	} {
		got, ok := Distance(test.a, test.b)
		if !ok || math.Abs(got-test.want) > test.want*0.003+1e-3 {
			t.Errorf("%s: %v, %v", test.name, got, ok)
		}
	}
	if _, ok := Distance(at(0, 0), Place{Country: "CH"}); ok {
		t.Error("a place without coordinates has a distance")
	}
}

func TestDistanceIsAMetric(t *testing.T) {
	place := rapid.Custom(func(t *rapid.T) Place {
		return Place{Located: true, Latitude: rapid.Float64Range(-90, 90).Draw(t, "latitude"), Longitude: rapid.Float64Range(-180, 180).Draw(t, "longitude")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := place.Draw(t, "a"), place.Draw(t, "b"), place.Draw(t, "c")
		ab, _ := Distance(a, b)
		ba, _ := Distance(b, a)
		bc, _ := Distance(b, c)
		ac, _ := Distance(a, c)
		if math.IsNaN(ab) || ab < 0 || ab > math.Pi*earthRadius+1e-6 || math.Abs(ab-ba) > 1e-6 || ac > ab+bc+1e-3 {
			t.Fatal(ab, ba, bc, ac)
		}
	})
}

func TestReloadIsSeenByWhoLooksUp(t *testing.T) {
	var h Holder
	if h.Load() != nil {
		t.Error("a new holder holds something")
	}
	h.Store(open(t, build(t, networks)))
	if p, ok := h.Load().Lookup(netip.MustParseAddr("81.2.69.160")); !ok || p.City != "London" {
		t.Error(p)
	}
}

// BenchmarkNew shows what reading a database costs for each network.
func BenchmarkNew(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	of := map[string]mmdbtype.DataType{}
	for range 20_000 {
		a := netip.AddrFrom4([4]byte{byte(1 + r.IntN(9)), byte(r.IntN(256)), byte(r.IntN(256)), 0})
		of[netip.PrefixFrom(a, 24).String()] = city("GB", "England", "London", r.Float64(), r.Float64(), 10)
	}
	data := build(b, of)
	b.ReportMetric(float64(len(data)), "bytes")
	for b.Loop() {
		if _, err := New(data); err != nil {
			b.Fatal(err)
		}
	}
}
