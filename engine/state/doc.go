// Package state is what is: documents, people, network sessions and keys, folded from events into packed rows that every
// request reads at once. Apply is total and deterministic, so equal logs give equal digests; readers never see an older index than
// the one that Apply has finished. It compiles no policy and knows neither wire, disk nor clock.
package state
