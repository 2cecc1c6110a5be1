// Package push makes challenges for a device that a person enrolled, such as a phone, and verifies its signed answers: approved with the
// number that the login page shows, or denied. It also makes and verifies enrolments. It sends nothing and keeps nothing: keys, challenges and
// enrolments come in as values, and that each is answered once in the whole cluster is for whoever records that.
package push
