package geo

import (
	"math"
	"strings"
)

// Place is where an address is, as far as the database knows. Databases know where networks are registered and routed, not where people
// sit: see Accuracy.
type Place struct {
	Country string // ISO 3166-1 alpha-2; empty: unknown
	Region  string // the largest subdivision, in English; empty: unknown
	City    string // in English; empty: unknown

	Located   bool    // whether the following are known
	Latitude  float64 // degrees, north is positive
	Longitude float64 // degrees, east is positive
	Accuracy  int     // kilometres around the coordinates within which the address likely is; 0: unknown
}

// String returns the place in words: city, region and country, as far as they are known.
func (p Place) String() string {
	var parts []string
	for _, part := range []string{p.City, p.Region, p.Country} {
		if part != "" && (len(parts) == 0 || parts[len(parts)-1] != part) {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", ")
}

// earthRadius is the mean radius of the earth in kilometres (IUGG).
const earthRadius = 6371.0088

// Distance returns how many kilometres two places are apart along a great circle, to within half a percent; false where either is not
// located.
func Distance(a, b Place) (kilometres float64, ok bool) {
	if !a.Located || !b.Located {
		return 0, false
	}
	const radians = math.Pi / 180
	north, east := (b.Latitude-a.Latitude)*radians, (b.Longitude-a.Longitude)*radians
	// The haversine formula is exact for near places, where the cosine formula loses its digits.
	h := square(math.Sin(north/2)) + math.Cos(a.Latitude*radians)*math.Cos(b.Latitude*radians)*square(math.Sin(east/2))
	return 2 * earthRadius * math.Asin(math.Sqrt(min(h, 1))), true
}

func square(x float64) float64 { return x * x }
