// Package geo says where an address is: country, region, city and coordinates, out of a database in MMDB format that the administrator
// provides, and how far two places are apart. It reads no file and fetches nothing.
package geo
