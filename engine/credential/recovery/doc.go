// Package recovery makes and verifies recovery codes: a set of one-time codes that a person keeps on paper for the day when his device
// is gone. A set is shown once and kept as HMACs under a cluster key. Which codes were used comes in as a value, and that each is used
// once in the whole cluster is for whoever records that.
package recovery
