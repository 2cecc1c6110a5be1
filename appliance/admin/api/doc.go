// Package api holds what travels over the administration API: the bodies of requests and responses, as server and client
// share them. It is data only; the rules are in package admin, and the OpenAPI document is generated from these types.
package api
