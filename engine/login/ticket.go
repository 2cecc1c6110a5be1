package login

import (
	"errors"
	"fmt"

	"trine/engine/credential/push"
	"trine/engine/event"
	"trine/engine/secret"
	"trine/engine/trace"
)

// Ticket goes to a device with a push challenge, sealed, and comes back with its answer: any node that has the cluster key knows from it what to
// hold the answer against, and nothing has to be kept meanwhile. The device cannot read it.
type Ticket struct {
	User   string // his name
	Factor string // id of the device among his factors
	Number uint8  // that the login shows
}

// The bounds of a ticket.
const (
	maxTicketName = 512
	// MaxTicket bounds the length of sealed tickets.
	MaxTicket = 2 + maxTicketName + 64 + 64
)

// ticketContext is what tickets are bound to, followed by the challenge that they go with.
const ticketContext = "trine/push/ticket/1/"

var errTicket = errors.New("the name of the user or the id of his device is longer than a ticket has room for")

// Seal returns the sealed ticket for a challenge in its canonical form. It fails with secret.ErrNoKey where the cluster has no key yet.
func (t *Ticket) Seal(keys *secret.Keyring, challenge []byte) ([]byte, error) {
	if len(t.Factor) > 64 || len(t.User) > maxTicketName {
		return nil, errTicket
	}
	plain := append([]byte{t.Number, byte(len(t.Factor))}, t.Factor...)
	sealed, err := keys.Seal(nil, append(plain, t.User...), append([]byte(ticketContext), challenge...))
	if err != nil {
		return nil, fmt.Errorf("seal a ticket: %w", err)
	}
	return sealed, nil
}

// OpenTicket reads a ticket that came back with a challenge; the error is ErrForeign. Both are then as this cluster made them.
func OpenTicket(sealed, challenge []byte, keys *secret.Keyring) (t Ticket, err error) {
	if len(sealed) > MaxTicket {
		return t, ErrForeign
	}
	plain, err := keys.Open(nil, sealed, append([]byte(ticketContext), challenge...))
	if err != nil || len(plain) < 2 || len(plain) < 2+int(plain[1]) {
		return t, ErrForeign
	}
	end := 2 + int(plain[1])
	return Ticket{Number: plain[0], Factor: string(plain[2:end]), User: string(plain[end:])}, nil
}

// Outcome verifies the answer that came with the ticket, by the key of the ticket's device. It returns what there is to record, or false where
// the device did not sign it. Whether an approval came in time is for the record's time to say.
func (t *Ticket) Outcome(c *push.Challenge, a push.Answer, key push.Key) (event.PushOutcome, bool) {
	switch c.Verify(a, key, t.Number, c.NotAfter.Add(-1)) {
	case trace.OK:
		return event.PushApproved, true
	case trace.PushDenied:
		return event.PushDenied, true
	case trace.PushNumber:
		return event.PushOtherNumber, true
	}
	return 0, false
}
