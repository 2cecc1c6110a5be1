// Package event says what can happen: the event types (protobuf), the envelope and proposal that carry them through the log,
// their classes, stream keys and the keys by which objects are named in expectations. It folds nothing and decides nothing.
package event

//go:generate protoc --go_out=. --go_opt=paths=source_relative event.proto
