package admin

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"trine/appliance/admin/api"
	"trine/engine/credential/push"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/message"
	"trine/engine/state"
)

func (s *Server) registerPush(a huma.API) {
	register(a, operation{
		id: "answerPush", method: http.MethodPost, path: "/push/answers", tag: "Devices", summary: "Answer a push challenge", public: true, status: http.StatusNoContent,
		about: "For the devices of users, which have no API key. A challenge can be answered once. What is not signed by the device that the ticket was made for, or is " +
			"no challenge of this cluster, is refused with push.refused, whatever is wrong with it; an approval with another number than the login shows is taken like the right one.",
	}, s.answerPush)
}

// enrolPush reads a device's key and address.
func (s *Server) enrolPush(put *event.FactorPut, r *api.FactorRequest) error {
	put.Kind = uint32(login.Push)
	key, err := readPublicKey(r.PublicKey)
	if err != nil {
		return factorRefused("publicKey", err)
	}
	if !message.ValidDevice(r.Address) {
		return factorRefused("address", errors.New("expected the address by which the push gateway finds the device: 1 to 1,024 characters of ASCII without blanks"))
	}
	put.Data, err = login.SealPush(s.cfg.Keyring, put.User, put.Id, login.PushDevice{Key: key, Address: r.Address})
	return err
}

var errPublicKey = errors.New("expected a public key in PEM, -----BEGIN PUBLIC KEY-----, of the kind Ed25519 or ECDSA with P-256")

// readPublicKey reads a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) in PEM.
func readPublicKey(text string) (push.Key, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return push.Key{}, errPublicKey
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return push.Key{}, errPublicKey
	}
	switch public := public.(type) {
	case ed25519.PublicKey:
		return push.Ed25519Key(public), nil
	case *ecdsa.PublicKey:
		if key, err := push.P256Key(public); err == nil {
			return key, nil
		}
	}
	return push.Key{}, errPublicKey
}

type answerPushInput struct {
	Call
	Body api.PushAnswer
}

// errPush is all that a stranger is told.
func errPush() error {
	return api.NewProblem(http.StatusForbidden, api.ReasonPushRefused, "this is no answer of an enrolled device to a challenge of this cluster")
}

func (s *Server) answerPush(ctx context.Context, in *answerPushInput) (*nothing, error) {
	a := &in.Body
	// The ticket comes first: it is cheap to look at, and without one nothing else is.
	ticket, err := login.OpenTicket(a.Ticket, a.Challenge, s.cfg.Keyring)
	if err != nil {
		return nil, errPush()
	}
	challenge, err := push.ParseChallenge(a.Challenge)
	if err != nil {
		return nil, errPush()
	}
	device, ok := s.pushDevice(ticket.User, ticket.Factor)
	if !ok {
		return nil, errPush()
	}
	outcome, ok := ticket.Outcome(&challenge, push.Answer{Approve: a.Approve, Number: a.Number, Signature: a.Signature}, device.Key)
	if !ok {
		return nil, errPush()
	}
	now := s.now()
	if _, ok := s.cfg.State.PushAnswer(challenge.ID); ok {
		return nil, errAnswered()
	}
	late := api.NewProblem(http.StatusGone, api.ReasonPushExpired, "the challenge is over since %s", challenge.NotAfter.UTC().Format(time.RFC3339))
	if now.Unix() >= challenge.NotAfter.Unix()+state.PushTerm {
		return nil, late
	}
	put := &event.PushAnswered{
		User: ticket.User, Factor: ticket.Factor, Challenge: challenge.ID, Outcome: uint32(outcome), NotAfterUnix: challenge.NotAfter.Unix(), Source: origin(in.http).AsSlice(),
	}
	streams := []uint64{event.StreamKey(event.StreamUser, event.FoldName(ticket.User)), event.StreamKey(event.StreamDecision, event.FormatID(challenge.ID))}
	var b event.Builder
	if err := b.Add(event.TypePushAnswered, event.ClassIdentity, streams, put); err != nil {
		return nil, err
	}
	out, err := s.cfg.Log.Propose(ctx, b.Bytes())
	switch {
	case err != nil:
		return nil, logProblem(err)
	case out.Code == event.CodeConflict:
		return nil, errAnswered()
	case out.Code != 0: // the device was taken from its user just now, or the record's time is past the challenge's
		return nil, errPush()
	}
	if answer, ok := s.cfg.State.PushAnswer(challenge.ID); ok && answer.Outcome == event.PushLate {
		return nil, late
	}
	return &nothing{}, nil
}

func errAnswered() error {
	return api.NewProblem(http.StatusConflict, api.ReasonPushAnswered, "the challenge was answered before")
}

// pushDevice returns a device that a user has enrolled.
func (s *Server) pushDevice(user, id string) (d login.PushDevice, ok bool) {
	factors, _ := s.cfg.State.Factors(user)
	for i := range factors {
		if f := &factors[i]; f.Kind == uint32(login.Push) && string(f.ID) == id {
			d, err := login.OpenPush(s.cfg.Keyring, user, id, f.Data)
			return d, err == nil
		}
	}
	return d, false
}

// pushOutcome names an outcome for people.
func pushOutcome(outcome uint32) string {
	switch event.PushOutcome(outcome) {
	case event.PushApproved:
		return "approved"
	case event.PushDenied:
		return "denied"
	case event.PushOtherNumber:
		return "approved with another number"
	}
	return "unknown"
}
