// Package login says which factors a login needs: the matrix of accepted ways, adaptive rules that choose another matrix, and what
// carries a login from its first factor to its second. It verifies nothing itself, and keeps nothing.
package login
