package engine

import (
	"context"
	"fmt"

	"trine/engine/event"
)

// EnrolFactor gives a person a factor, and returns once that is committed.
func (e *Engine) EnrolFactor(ctx context.Context, put *event.FactorPut) error {
	var b event.Builder
	if err := b.Add(event.TypeFactorPut, event.ClassIdentity, []uint64{event.StreamKey(event.StreamUser, event.FoldName(put.User))}, put); err != nil {
		return err
	}
	return e.forPerson(ctx, &b)
}

// RemoveFactor takes a factor from a person, and returns once that is committed. By is the administrator who wants it, or the person's name.
func (e *Engine) RemoveFactor(ctx context.Context, user, id, by string) error {
	var b event.Builder
	err := b.Add(event.TypeFactorRemoved, event.ClassIdentity, []uint64{event.StreamKey(event.StreamUser, event.FoldName(user))}, &event.FactorRemoved{User: user, Id: id, By: by})
	if err != nil {
		return err
	}
	return e.forPerson(ctx, &b)
}

// DistrustDevice has a trusted device of a person stand for nothing any more, and returns once that is committed.
func (e *Engine) DistrustDevice(ctx context.Context, user, id, by string) error {
	var b event.Builder
	err := b.Add(event.TypeDeviceDistrusted, event.ClassIdentity, []uint64{event.StreamKey(event.StreamUser, event.FoldName(user))}, &event.DeviceDistrusted{User: user, Id: id, By: by})
	if err != nil {
		return err
	}
	return e.forPerson(ctx, &b)
}

// forPerson has the log take records that a person waits for. The error wraps ErrRefused where they were found void.
func (e *Engine) forPerson(ctx context.Context, b *event.Builder) error {
	o, err := e.pages.calls.propose(ctx, b.Bytes())
	if err != nil {
		return err
	}
	if err := o.failure(); err != nil {
		return fmt.Errorf("%w: %s", err, o.Detail)
	}
	return nil
}
