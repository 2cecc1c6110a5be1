package admin

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"trine/appliance/admin/api"
	"trine/engine/credential/otp"
	"trine/engine/credential/pin"
	"trine/engine/credential/recovery"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/state"
	"trine/engine/trace"
)

func (s *Server) registerFactors(a huma.API) {
	const tag = "Users"
	read := []string{ScopeUsers, ScopeWrite, ScopeRead, scopeDocuments + document.KindUser}
	write := []string{ScopeUsers, ScopeWrite, scopeDocuments + document.KindUser}
	register(a, operation{
		id: "listFactors", method: http.MethodGet, path: "/users/{name}/factors", tag: tag, summary: "List a user's factors beside the password", scopes: read,
	}, s.listFactors)
	register(a, operation{
		id: "addFactor", method: http.MethodPost, path: "/users/{name}/factors", tag: tag, summary: "Enrol a factor of a user",
		about: "The answer holds what the person needs, such as the QR code of a one-time password's key. It is shown only here.", status: http.StatusCreated, scopes: write,
	}, s.addFactor)
	register(a, operation{
		id: "removeFactor", method: http.MethodDelete, path: "/users/{name}/factors/{id}", tag: tag, summary: "Take a factor from a user", scopes: write,
	}, s.removeFactor)
	register(a, operation{
		id: "resyncFactor", method: http.MethodPost, path: "/users/{name}/factors/{id}/resync", tag: tag, summary: "Find a one-time password device again",
		about: "Two codes that the device shows one after the other say where its clock or counter stands; both are used up.", status: http.StatusNoContent, scopes: write,
	}, s.resyncFactor)
}

type factorsInput struct {
	Call
	Name string `path:"name" maxLength:"512"`
}

type factorInput struct {
	Call
	Name string `path:"name" maxLength:"512"`
	ID   string `path:"id" maxLength:"64"`
}

func (s *Server) listFactors(_ context.Context, in *factorsInput) (*answer[api.FactorList], error) {
	factors, ok := s.cfg.State.Factors(in.Name)
	if !ok {
		return nil, missing(document.KindUser, in.Name)
	}
	out := &answer[api.FactorList]{Body: api.FactorList{Factors: make([]api.Factor, 0, len(factors))}}
	for i := range factors {
		out.Body.Factors = append(out.Body.Factors, factorView(&factors[i]))
	}
	return out, nil
}

// The kinds of factors as the API names them.
const (
	factorOTP      = "otp"
	factorPIN      = "pin"
	factorRecovery = "recovery"
	factorPush     = "push"
)

// factorKind names a kind of stored factor.
func factorKind(kind uint32) string {
	switch kind {
	case uint32(login.OTP):
		return factorOTP
	case uint32(login.PIN):
		return factorPIN
	case state.RecoveryCodes:
		return factorRecovery
	case uint32(login.Push):
		return factorPush
	}
	return login.Factor(kind).String()
}

func factorView(f *state.Factor) api.Factor {
	v := api.Factor{ID: string(f.ID), Kind: factorKind(f.Kind), Label: string(f.Label), Created: time.Unix(f.CreatedAt, 0).UTC()}
	if f.Kind == state.RecoveryCodes {
		left := recovery.Left(f.Data, uint32(f.Next))
		v.Left = &left
	}
	if f.UsedAt != 0 {
		used := time.Unix(f.UsedAt, 0).UTC()
		v.Used = &used
	}
	return v
}

type addFactorInput struct {
	Call
	Name string `path:"name" maxLength:"512"`
	Body api.FactorRequest
}

func (s *Server) addFactor(ctx context.Context, in *addFactorInput) (*answer[api.Enrolment], error) {
	stored, err := s.stored(document.KindUser, in.Name)
	if err != nil {
		return nil, err
	}
	put := &event.FactorPut{User: stored.Name, Id: newFactorID(), Label: in.Body.Label, By: in.caller.By}
	out := api.Enrolment{}
	switch in.Body.Kind {
	case factorOTP:
		err = s.enrolOTP(put, &in.Body, &out)
	case factorPIN:
		put.Kind = uint32(login.PIN)
		put.Data, err = pin.DefaultPolicy().Keep([]byte(in.Body.PIN), s.cfg.Keyring, login.FactorContext(nil, put.User, put.Id))
		if errors.Is(err, pin.ErrPolicy) {
			err = factorRefused("pin", err)
		}
	case factorPush:
		err = s.enrolPush(put, &in.Body)
	case factorRecovery:
		put.Kind = state.RecoveryCodes
		out.Codes, put.Data, err = recovery.New(recovery.Count, s.cfg.Keyring, login.FactorContext(nil, put.User, put.Id))
	}
	if err != nil {
		return nil, err
	}
	if err := s.record(ctx, event.TypeFactorPut, event.ClassIdentity, documentStreams(document.KindUser, stored.Name), put); err != nil {
		return nil, err
	}
	out.Factor = api.Factor{ID: put.Id, Kind: in.Body.Kind, Label: put.Label, Created: s.now().UTC().Truncate(time.Second)}
	return &answer[api.Enrolment]{Body: out}, nil
}

// newFactorID returns an id that no other factor of a user has: there are few.
func newFactorID() string { return event.FormatID(rand.Uint64()) }

// factorRefused is the problem of a factor that cannot be enrolled as it was asked for.
func factorRefused(field string, err error) error {
	return refusal(document.Problems{{Kind: document.KindUser, Field: field, Reason: err.Error()}})
}

func (s *Server) enrolOTP(put *event.FactorPut, r *api.FactorRequest, out *api.Enrolment) error {
	p := otp.DefaultParams()
	if r.Type == otp.HOTP.String() {
		p.Kind, p.Period = otp.HOTP, 0
	}
	for _, a := range []otp.Algorithm{otp.SHA256, otp.SHA512} {
		if r.Algorithm == a.String() {
			p.Algorithm = a
		}
	}
	if r.Digits != 0 {
		p.Digits = r.Digits
	}
	if r.Period != 0 {
		p.Period = time.Duration(r.Period) * time.Second
	}
	var device otp.Secret
	var err error
	switch digits, isHex := strings.CutPrefix(r.Secret, "hex:"); {
	case isHex:
		device, err = otp.ImportHex(p, digits)
	case r.Secret != "":
		device, err = otp.ImportBase32(p, r.Secret)
	default:
		device, err = otp.New(p)
	}
	if err != nil {
		return factorRefused("secret", err)
	}
	put.Kind = uint32(login.OTP)
	if put.Data, err = login.SealOTP(s.cfg.Keyring, put.User, put.Id, &device); err != nil {
		return err
	}
	if r.Secret != "" {
		return nil // whoever gave the key has it
	}
	if out.URI, err = device.URI(otpIssuer, put.User, r.Counter); err != nil {
		return factorRefused("name", err)
	}
	out.Secret = device.Base32()
	image, err := otp.PNG(out.URI)
	if err != nil {
		return fmt.Errorf("draw the QR code: %w", err)
	}
	out.QR = base64.StdEncoding.EncodeToString(image)
	if out.Terminal, err = otp.Terminal(out.URI, false); err != nil {
		return fmt.Errorf("draw the QR code: %w", err)
	}
	return nil
}

// otpIssuer is whose key an authenticator app says that it is.
const otpIssuer = "Trine"

func (s *Server) removeFactor(ctx context.Context, in *factorInput) (*nothing, error) {
	stored, err := s.stored(document.KindUser, in.Name)
	if err != nil {
		return nil, err
	}
	return &nothing{}, s.record(ctx, event.TypeFactorRemoved, event.ClassIdentity, documentStreams(document.KindUser, stored.Name),
		&event.FactorRemoved{User: stored.Name, Id: in.ID, By: in.caller.By})
}

type resyncInput struct {
	Call
	Name string `path:"name" maxLength:"512"`
	ID   string `path:"id" maxLength:"64"`
	Body api.ResyncRequest
}

func (s *Server) resyncFactor(ctx context.Context, in *resyncInput) (*nothing, error) {
	stored, err := s.stored(document.KindUser, in.Name)
	if err != nil {
		return nil, err
	}
	factors, _ := s.cfg.State.Factors(stored.Name)
	for i := range factors {
		f := &factors[i]
		if string(f.ID) != in.ID || f.Kind != uint32(login.OTP) {
			continue
		}
		device, err := login.OpenOTP(s.cfg.Keyring, stored.Name, in.ID, f.Data)
		if err != nil {
			return nil, err
		}
		after, reason := device.Resync([]byte(in.Body.First), []byte(in.Body.Second), s.now(), otp.State{Next: f.Next, Drift: f.Drift}, otp.MaxResync)
		if reason != trace.OK {
			info, _ := reason.Info()
			return nil, factorRefused("first", errors.New("the two codes do not follow one another within reach. "+info.Meaning))
		}
		return &nothing{}, s.record(ctx, event.TypeFactorUsed, event.ClassIdentity, documentStreams(document.KindUser, stored.Name),
			&event.FactorUsed{User: stored.Name, Id: in.ID, Counter: after.Next - 1, Drift: after.Drift})
	}
	return nil, api.NewProblem(http.StatusNotFound, api.ReasonNotFound, "user %s has no one-time password device %s; `trine user factor list %s` shows what there is", stored.Name, in.ID, stored.Name)
}
