// Package imported verifies passwords against hashes that other systems made: those of crypt(3), the userPassword values of LDAP
// directories, PHC strings, passlib's and Django's forms, and NT hashes. It makes no hashes and keeps none. What a hash may cost to
// verify is bounded when it is read, so that nothing that was taken in can stop a node later.
package imported
