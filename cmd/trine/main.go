// Command trine is the Trine AAA appliance: one binary that serves a node and administers it.
package main

func main() {}
