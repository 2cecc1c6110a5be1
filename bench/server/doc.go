// Package server runs the servers that are measured, each in a process of its own on the cores that it is given: Trine, Debian's
// FreeRADIUS, and a bare echo.
package server
