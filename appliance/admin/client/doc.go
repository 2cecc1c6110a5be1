// Package client speaks the administration API: it finds the node by its data directory or its address, and has one method
// for each operation. An error that the node answered is an [*api.Problem]; one on the way to it is an [*UnreachableError].
package client
