package engine

import (
	"trine/engine/credential/code"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/message"
	"trine/engine/trace"
)

// sendCode makes a code, has it sent to the user and puts what is kept of it into the challenge that asks for it. The challenge is as
// good as the code. Whether the message arrives is not waited for.
func (e *Engine) sendCode(r *Request, f login.Factor, c *login.Challenge) trace.Reason {
	channel := channelOf(f)
	digits, issued, err := code.New(code.DefaultPolicy(), e.now(), e.config.Keyring, codeOwner(r, c.ID))
	if err != nil {
		r.trace.Add(trace.FactorMissing, f.String(), err.Error())
		return trace.FactorUnreadable
	}
	m := &message.Message{
		Kind: message.Code, Channel: channel, To: recipient(r, channel), User: string(r.user.Name), Expires: issued.NotAfter, Done: delivered{},
		Values: message.Values{Code: digits, Service: serviceName(r)},
	}
	if err := e.config.Messenger.Submit(m); err != nil {
		r.trace.Add(trace.MessageNotTaken, channel.String(), err.Error())
		return message.Reason(err)
	}
	r.trace.Add(trace.MessageTaken, channel.String(), m.Masked())
	c.Code, c.NotAfter = issued.MAC, issued.NotAfter
	return trace.OK
}

// proveCode compares a code with the one that was sent for the challenge. It can be tried once, since that uses the challenge up.
func (e *Engine) proveCode(r *Request, f login.Factor, typed []byte) proof {
	c := &r.work.challenge
	issued := code.Issued{MAC: c.Code, NotAfter: c.NotAfter, Attempts: 1}
	reason := issued.Verify(typed, e.now(), 0, e.config.Keyring, codeOwner(r, c.ID))
	issued.Record(&r.trace, reason, channelOf(f).String(), 0)
	return proof{asked: f, reason: reason, label: "the code that was sent", detail: "it is not the code that was sent"}
}

// codeOwner is what a code is bound to: the person and the login that it is for.
func codeOwner(r *Request, id uint64) []byte {
	return append(append([]byte(event.Key("User", string(r.user.Name))), '/'), event.FormatID(id)...)
}

func channelOf(f login.Factor) message.Channel {
	if f == login.SMS {
		return message.SMS
	}
	return message.Mail
}

// recipient returns the user's address on a channel; empty if he has none.
func recipient(r *Request, c message.Channel) string {
	u := &r.user
	switch {
	case c == message.SMS:
		return string(u.Mobile)
	case len(u.Mail) > 0 && len(u.MailDomain) > 0:
		return string(u.Mail) + "@" + string(u.MailDomain)
	}
	return string(u.Mail)
}

// serviceName is how people know what they log in to.
func serviceName(r *Request) string {
	if name := r.Client.Spec.DisplayName; name != "" {
		return name
	}
	return r.Client.Name
}

// delivered hears what became of a message. The messenger counts and logs it; the login has gone on long ago.
type delivered struct{}

// Delivered implements message.Done.
func (delivered) Delivered(*message.Message) {}
