// Command trine is the Trine AAA appliance: one binary that serves a node and administers it.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
