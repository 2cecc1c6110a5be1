package engine

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"trine/engine/credential/push"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/message"
)

var numberShown = regexp.MustCompile(`number [1-9][0-9]`)

// pushDevice is a device as a person has it: it knows its key, and what was sent to it.
type pushDevice struct {
	address string
	key     ed25519.PrivateKey
}

// pushDevice enrols a device under an id, which is its label and address too.
func (r *rig) pushDevice(user, id string) *pushDevice {
	r.t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	sealed, err := login.SealPush(r.ring, user, id, login.PushDevice{Key: push.Ed25519Key(public), Address: id})
	if err != nil {
		r.t.Fatal(err)
	}
	r.propose(&event.FactorPut{User: user, Id: id, Kind: uint32(login.Push), Label: id, Data: sealed})
	return &pushDevice{id, private}
}

// last returns the challenge that was sent to the device last.
func (d *pushDevice) last(p *postman) *message.Message {
	for _, m := range slices.Backward(p.taken) {
		if m.Channel == message.Push && m.To == d.address {
			return m
		}
	}
	return nil
}

// answer returns the record of what the device says to a challenge, as the administration proposes it.
func (d *pushDevice) answer(r *rig, m *message.Message, approve bool, number uint8) *event.PushAnswered {
	r.t.Helper()
	form, err := base64.StdEncoding.DecodeString(m.Challenge)
	if err != nil {
		r.t.Fatal(err)
	}
	sealed, err := base64.StdEncoding.DecodeString(m.Ticket)
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := push.ParseChallenge(form)
	if err != nil {
		r.t.Fatal(err)
	}
	a := push.Answer{Approve: approve, Number: number, Signature: ed25519.Sign(d.key, c.Message(approve, number))}
	t, err := login.OpenTicket(sealed, form, r.ring)
	if err != nil {
		r.t.Fatal(err)
	}
	outcome, ok := t.Outcome(&c, a, push.Ed25519Key(d.key.Public().(ed25519.PublicKey)))
	if !ok {
		r.t.Fatal("the device's signature does not hold")
	}
	return &event.PushAnswered{User: t.User, Factor: t.Factor, Challenge: c.ID, Outcome: uint32(outcome), NotAfterUnix: c.NotAfter.Unix()}
}

// answers reads LABEL approves, LABEL denies or LABEL mistypes, and says whether the log took it.
func (s *scenario) answers(out *strings.Builder, words []string) error {
	if len(words) != 2 || s.pushes[words[0]] == nil {
		return fmt.Errorf("a device that is enrolled, and what it does")
	}
	d := s.pushes[words[0]]
	m := d.last(s.post)
	if m == nil {
		return fmt.Errorf("nothing was sent to %s", d.address)
	}
	number, err := strconv.ParseUint(s.number, 10, 8)
	if err != nil {
		return err
	}
	var a *event.PushAnswered
	switch words[1] {
	case "approves":
		a = d.answer(s.rig, m, true, uint8(number))
	case "mistypes":
		a = d.answer(s.rig, m, true, uint8(10+(number-9)%90))
	case "denies":
		a = d.answer(s.rig, m, false, 0)
	default:
		return fmt.Errorf("a device approves, denies or mistypes")
	}
	var b event.Builder
	if err := b.Add(event.TypePushAnswered, event.ClassIdentity, nil, a); err != nil {
		return err
	}
	var heard lastOutcome
	if err := s.log.Proposer(&heard).Propose(b.Bytes(), 0); err != nil {
		return err
	}
	said := map[uint32]string{0: "recorded", event.CodeConflict: "was answered before", event.CodeMissing: "no longer counts"}[heard.Code]
	fmt.Fprintf(out, "%s %s -> %s\n", words[0], words[1], said)
	return nil
}

// lastOutcome hears what became of a proposal.
type lastOutcome struct{ Outcome }

// Committed implements Completion.
func (l *lastOutcome) Committed(_ uint64, o Outcome) { l.Outcome = o }
