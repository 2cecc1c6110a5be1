// Package node starts, wires and stops the parts of one node. A node's life:
//
//  1. the configuration is read and checked ([Config]);
//  2. the data directory is opened and the log started, which folds everything it holds into the views;
//  3. the cluster key is unwrapped, or made on a cluster's first start;
//  4. the policy cache is compiled and the worker started;
//  5. the listeners open: management, then RADIUS; the service manager is told;
//  6. the node serves until its context ends;
//  7. it drains: listeners close, answers that wait for a commit leave, decisions are handed over;
//  8. the log seals and closes.
//
// Tests start nodes with [Start].
package node
