// Package network joins processes by a network that can be cut. A host is a Linux network namespace with one device; every packet
// between two hosts passes through this process, which delivers it, delays it or drops it, for each direction by itself. The
// namespaces have no name: they are gone with the processes in them, so that nothing is left over and any number of networks can be there at once.
package network
