package engine

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"trine/engine/credential/push"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/message"
	"trine/engine/trace"
)

// pushRounds is how often a person may go on before his device has answered. Each time uses a challenge up, which is a record.
const pushRounds = 10

// sendPush makes a challenge and has it sent to all of the user's devices; the first that answers counts. Nothing of it is kept but what goes to
// the devices and to whoever logs in.
func (e *Engine) sendPush(r *Request, c *login.Challenge) trace.Reason {
	if reason := e.Locked(r, r.guarded(login.Push)); reason != trace.OK {
		return reason
	}
	purpose := shown(serviceName(r), 200) + " from " + shown(origin(r), 100)
	asked, number, err := push.New(push.DefaultPolicy(), c.ID, shown(string(r.user.Name), push.MaxUser), purpose, e.now())
	if err != nil {
		r.trace.Add(trace.FactorMissing, login.Push.String(), err.Error())
		return trace.FactorUnreadable
	}
	form := asked.Append(nil)
	reason, sent := trace.FactorUnreadable, false
	for i := range r.work.factors.List {
		f := &r.work.factors.List[i]
		if f.Kind != uint32(login.Push) {
			continue
		}
		user, id, name := string(r.user.Name), string(f.ID), deviceName(f.Label, f.ID)
		device, err := login.OpenPush(e.config.Keyring, user, id, f.Data)
		if err != nil {
			r.trace.Add(trace.FactorIsBad, name, err.Error())
			continue
		}
		ticket, err := (&login.Ticket{User: user, Factor: id, Number: number}).Seal(e.config.Keyring, form)
		if err != nil {
			r.trace.Add(trace.FactorIsBad, name, err.Error())
			continue
		}
		m := &message.Message{
			Kind: message.Approval, Channel: message.Push, To: device.Address, User: user, Expires: asked.NotAfter, Done: delivered{},
			Values:    message.Values{Service: serviceName(r), Name: asked.User},
			Challenge: base64.StdEncoding.EncodeToString(form), Ticket: base64.StdEncoding.EncodeToString(ticket),
		}
		if err := e.config.Messenger.Submit(m); err != nil {
			r.trace.Add(trace.MessageNotTaken, m.Channel.String(), err.Error())
			reason = message.Reason(err)
			continue
		}
		r.trace.Add(trace.PushSent, name, "")
		sent = true
	}
	if !sent {
		return reason
	}
	c.Push = login.PushRound{ID: asked.ID, NotAfter: asked.NotAfter, Number: number}
	return trace.OK
}

// pushPrompt says what a person does who waits for his device.
func pushPrompt(p *login.PushRound) string {
	return fmt.Sprintf("Approve the login on your device with the number %d, then press Enter", p.Number)
}

// provePush looks up what the devices said. Whatever was typed has no part in it.
func (e *Engine) provePush(r *Request) proof {
	c := &r.work.challenge.Push
	p := proof{asked: login.Push, reason: trace.PushExpired, detail: "the device did not answer in time"}
	a, ok := e.config.People.PushAnswer(c.ID)
	switch {
	case !ok && e.now().Before(c.NotAfter) && int(c.Round) < pushRounds:
		return proof{asked: login.Push, pending: true}
	case !ok && e.now().Before(c.NotAfter):
		p.reason, p.detail = trace.PushWaiting, "the device has not answered, and the person was asked "+strconv.Itoa(pushRounds)+" times more"
		return p
	case !ok:
		return p
	}
	device := ""
	for i := range r.work.factors.List {
		if f := &r.work.factors.List[i]; f.Kind == uint32(login.Push) && string(f.ID) == a.Factor {
			device = deviceName(f.Label, f.ID)
		}
	}
	switch a.Outcome {
	case event.PushApproved:
		if device == "" { // it was taken from him while he approved
			r.trace.Add(trace.PushGone, a.Factor, "")
			p.reason, p.detail = trace.FactorNotEnrolled, "the device that approved was removed"
			return p
		}
		p = proof{asked: login.Push, reason: trace.OK, label: device}
	case event.PushDenied:
		p.reason, p.detail = trace.PushDenied, "the person denied it"
	case event.PushOtherNumber:
		p.reason, p.detail = trace.PushNumber, "it was approved with another number"
	case event.PushLate:
		p.detail = "the device approved too late"
	default:
		violated("a known answer of a device", "%d", a.Outcome)
	}
	push.Record(&r.trace, p.reason, device)
	return p
}

// askAgain asks a person once more whose device has not answered yet: the same challenge with the same number, under a new state.
func (e *Engine) askAgain(r *Request) {
	c := r.work.challenge
	c.ID, c.Index = r.Decision.ID, e.config.People.AppliedIndex()
	c.Push.Round++
	r.trace.Add(trace.PushPending, strconv.Itoa(int(c.Push.Round)), "")
	e.challenge(r, &c, "Not approved yet. "+pushPrompt(&c.Push))
}

// deviceName is how a device is called in traces.
func deviceName(label, id []byte) string {
	if len(label) > 0 {
		return string(label)
	}
	return string(id)
}

// origin says from where somebody logs in, as his device is told.
func origin(r *Request) string {
	if len(r.Calling) > 0 {
		return string(r.Calling)
	}
	return r.Source.Addr().Unmap().String()
}

// shown returns a text as a device shows it: on one line, without what cannot be seen, and at most so many bytes. What is left of nothing is a
// question mark.
func shown(text string, most int) string {
	text = strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) && c != unicode.ReplacementChar {
			return c
		}
		return -1
	}, strings.ToValidUTF8(text, ""))
	for len(text) > most {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	if text == "" {
		return "?"
	}
	return text
}
