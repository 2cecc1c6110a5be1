package message

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"trine/engine/trace"
)

// Messenger delivers messages. The appliance implements it.
type Messenger interface {
	// Submit takes a message and never blocks. An error means that it was not taken, and says why: ErrUnconfigured, ErrAddress,
	// ErrLimited or ErrFull. Otherwise m.Done.Delivered(m) is called exactly once, on any goroutine, and the message is the
	// messenger's until then.
	Submit(m *Message) error
	// Check returns what Submit would say now, sends nothing, and counts against no limit.
	Check(m *Message) error
}

// Done learns what became of a message. Delivered must not block.
type Done interface {
	Delivered(m *Message)
}

// Message is one message to one person.
type Message struct {
	Kind     Kind
	Channel  Channel
	To       string // a mail address or a telephone number, as the person's record has it, or a device's address
	User     string // whose it is, for logs
	Language string // a BCP 47 tag such as "de-AT"; empty or without texts: the gateway's own
	Values   Values
	// Challenge and Ticket are what a device gets beside the text, in base64, where Kind is Approval.
	Challenge, Ticket string
	// Expires is when the message is of no more use: a code's end of life. It is not tried again after that. Templates see the
	// minutes until then.
	Expires time.Time
	Done    Done

	// The outcome. Err is nil where the next server on the way has taken the message, which is all that can be known; otherwise it
	// wraps ErrRefused or ErrFailed. It never holds the code.
	Gateway  string // the name of the MessageGateway
	Attempts int
	Err      error
}

// Kind says what a message is about.
type Kind string

// The kinds of messages, as documents name them.
const (
	Code            Kind = "code"            // a one-time code
	NewDevice       Kind = "newDevice"       // somebody logged in from a device that was not seen before
	PasswordChanged Kind = "passwordChanged" // the password was changed
	Approval        Kind = "approval"        // a push challenge, which only devices get
	Test            Kind = "test"            // an administrator tries a gateway
)

// Channel is a way to a person.
type Channel uint8

// The channels.
const (
	Mail Channel = iota + 1
	SMS
	Push // to an enrolled device
)

// Channels returns every channel.
func Channels() []Channel { return []Channel{Mail, SMS, Push} }

// String returns the channel's name as commands, metrics and traces use it.
func (c Channel) String() string {
	switch c {
	case Mail:
		return "mail"
	case SMS:
		return "sms"
	case Push:
		return "push"
	}
	return "unknown"
}

// ParseChannel returns the channel with the given name.
func ParseChannel(name string) (Channel, bool) {
	for _, c := range Channels() {
		if c.String() == name {
			return c, true
		}
	}
	return 0, false
}

// maxDevice is the length in bytes of the longest address of a device.
const maxDevice = 1024

// ValidDevice reports whether a text can be the address by which a push gateway finds a device, such as a registration token: 1 to 1,024
// characters of ASCII that can be seen.
func ValidDevice(address string) bool {
	return address != "" && len(address) <= maxDevice && !strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// Why a message was not taken or not delivered. Reason turns them into reason codes.
var (
	// ErrUnconfigured means that no MessageGateway document carries messages on this channel, or that it cannot be used.
	ErrUnconfigured = errors.New("no message gateway is configured")
	// ErrAddress means that the recipient's address or number cannot be used.
	ErrAddress = errors.New("the recipient's address cannot be used")
	// ErrLimited means that the recipient, or everybody together, was sent as many messages as the gateway's limits allow.
	ErrLimited = errors.New("the limit of messages is reached")
	// ErrFull means that as many messages wait as may wait, or that the node is stopping.
	ErrFull = errors.New("no more messages are taken")
	// ErrRefused means that the other side refused the message for good: it does not know the recipient, or does not want the
	// message. Trying again would not help.
	ErrRefused = errors.New("the message was refused")
	// ErrFailed means that the message could not be handed over while it was of use.
	ErrFailed = errors.New("the message could not be delivered in time")
)

// Reason returns the reason code of an error of this package; trace.OK for none.
func Reason(err error) trace.Reason {
	switch {
	case err == nil:
		return trace.OK
	case errors.Is(err, ErrUnconfigured):
		return trace.DeliveryUnconfigured
	case errors.Is(err, ErrAddress):
		return trace.DeliveryAddress
	case errors.Is(err, ErrLimited):
		return trace.DeliveryLimited
	case errors.Is(err, ErrFull):
		return trace.DeliveryFull
	case errors.Is(err, ErrRefused):
		return trace.DeliveryRefused
	}
	return trace.DeliveryFailed
}

// Masked returns the recipient as it may be shown to whoever tries to log in, in traces and in logs: enough for the owner to know it
// by, too little for others to learn it.
func (m *Message) Masked() string {
	if local, domain, ok := strings.Cut(m.To, "@"); ok {
		_, first := utf8.DecodeRuneInString(local)
		return local[:first] + "…@" + domain
	}
	if len(m.To) < 6 {
		return "…"
	}
	return m.To[:min(3, len(m.To)-4)] + "…" + m.To[len(m.To)-2:]
}

// Format shows what the message is about and nothing of its code, under any verb.
func (m *Message) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "%s by %s to %s", m.Kind, m.Channel, m.Masked())
}

// LogValue shows as much as Format.
func (m *Message) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf("%v", m)) }

var (
	_ fmt.Formatter  = (*Message)(nil)
	_ slog.LogValuer = (*Message)(nil)
)
