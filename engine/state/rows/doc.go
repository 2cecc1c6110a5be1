// Package rows holds packed rows in memory: tables of byte keys and byte values without a pointer a row, read by many
// goroutines while one writes, with a digest that is kept up to date, a frozen view that costs nothing proportional to the rows,
// and multi-valued hash indexes beside them. It gives no byte a meaning.
package rows
