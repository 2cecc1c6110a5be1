// Package attribute says what a person's attributes are and to whom they are released: definitions with their built-in sources,
// condition trees, and sharing policies compiled so that a release costs no allocation. It knows neither where people are kept
// nor how a protocol writes an attribute; see [Subject] and [Definition].
package attribute
