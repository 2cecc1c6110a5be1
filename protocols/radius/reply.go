package radius

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"

	"trine/engine/credential"
	"trine/engine/trace"
	"trine/protocols/radius/wire"
)

// accept builds an Access-Accept: the user name that the service sees, templates in their precedence, released attributes, what the method needs, Class,
// Chargeable-User-Identity, Proxy-State. The reason is not OK where that cannot be done, and the error says more.
func (h *handler) accept(l *login, v *wire.View) (trace.Reason, error) {
	b := &h.builder
	h.begin(wire.AccessAccept, v.ID(), v.Authenticator(), l.key)
	h.set = h.set[:0]
	var user []byte // of the login, where the device is told another one
	if len(l.Decision.UID) > 0 {
		b.Attr(wire.UserName, l.Decision.UID)
		h.set = append(h.set, l.own.userName)
		user = l.Decision.User
	}
	for i, reply := range l.Decision.Replies {
		t, ok := reply.(*Template)
		if !ok {
			return trace.RadiusReplyBroken, errTemplate
		}
		h.set = t.appendTo(b, h.set)
		if fault := b.Err(); fault != wire.OK {
			return h.spoilt(fault, fmt.Sprintf("append reply template %d of %d, which begins with %s", i+1, len(l.Decision.Replies), t.first()))
		}
	}
	for i := range l.Decision.Released {
		r := &l.Decision.Released[i]
		if err := h.release(r); err != nil {
			return trace.RadiusReplyBroken, err
		}
		if fault := b.Err(); fault != wire.OK {
			return h.spoilt(fault, fmt.Sprintf("release attribute definition %s with %d values", r.Attribute.Name, len(r.Values)))
		}
	}
	h.succeed(l)
	var class [maxClass]byte
	b.Attr(wire.Class, h.mark.append(class[:0], l.Decision.ID, user))
	if l.own.chargeable && h.keys != nil && v.Has(wire.ChargeableUser) && l.Decision.UserID != 0 {
		var buf [128]byte
		identity, err := appendChargeable(buf[:0], h.keys, l.Decision.UserID)
		if err != nil {
			return trace.RadiusReplyBroken, fmt.Errorf("make the Chargeable-User-Identity: %w", err)
		}
		b.Attr(wire.ChargeableUser, identity)
	}
	b.ProxyStates(v)
	if fault := b.Err(); fault != wire.OK {
		return h.spoilt(fault, "append what the server adds and the request's Proxy-States")
	}
	return trace.OK, nil
}

// spoilt says what was being appended when the reply could not be built, and how large it was before.
func (h *handler) spoilt(fault wire.Fault, doing string) (trace.Reason, error) {
	reason := trace.RadiusReplyBroken
	if fault == wire.PacketFull {
		reason = trace.RadiusReplyTooLarge
	}
	return reason, fmt.Errorf("%s: %w (%d bytes fitted)", doing, fault, h.builder.Len())
}

// errTemplate means that a decision carries a reply template that this package did not compile.
var errTemplate = errors.New("the reply template was not compiled for RADIUS")

// Values of MS-MPPE-Encryption-Policy and MS-MPPE-Encryption-Types, RFC 2548 sections 2.4.4 and 2.4.5.
const (
	encryptionAllowed  = 1
	encryption40and128 = 2 | 4
)

// succeed appends what a good MS-CHAP login gets: RFC 2548 sections 2.3.3 and 2.4.
func (h *handler) succeed(l *login) {
	b, p := &h.builder, &l.Proof
	switch p.Method {
	case credential.MSCHAPv1:
		if !p.HasKeys {
			return
		}
		b.VSA(wire.VendorMicrosoft, wire.MSMPPEEncPolicy, []byte{3: encryptionAllowed})
		b.VSA(wire.VendorMicrosoft, wire.MSMPPEEncTypes, []byte{3: encryption40and128})
		var keys [24]byte
		copy(keys[:8], p.LMKey[:])
		copy(keys[8:], p.NTKey[:])
		b.HiddenVSA(wire.HideUserPassword, wire.VendorMicrosoft, wire.MSCHAPMPPEKeys, keys[:])
	case credential.MSCHAPv2, credential.MSCHAPCPW:
		var success [1 + len(p.AuthenticatorResponse)]byte
		success[0] = l.ident
		copy(success[1:], p.AuthenticatorResponse[:])
		b.VSA(wire.VendorMicrosoft, wire.MSCHAP2Success, success[:])
		if p.HasKeys {
			b.MPPEKeys(encryptionAllowed, encryption40and128, p.SendKey[:], p.RecvKey[:])
		}
	}
}

// challengeLogin builds an Access-Challenge (RFC 2865 section 4.4): what to show, State, and Proxy-State.
func (h *handler) challengeLogin(l *login, v *wire.View) {
	b, d := &h.builder, &l.Decision
	h.begin(wire.AccessChallenge, v.ID(), v.Authenticator(), l.key)
	var text [253]byte
	b.Attr(wire.ReplyMessage, text[:copy(text[:], d.Message)])
	b.Attr(wire.State, d.State)
	b.ProxyStates(v)
}

// reject builds an Access-Reject. It carries only what RFC 5080 section 2.6 and RFC 2548 section 2.1.5 allow, and no word of
// why: that is for the log.
func (h *handler) reject(l *login, v *wire.View) {
	b := &h.builder
	h.begin(wire.AccessReject, v.ID(), v.Authenticator(), l.key)
	if l.eap {
		const failure = 4
		var id byte
		if message, _ := v.First(wire.EAPMessage); len(message) >= 2 {
			id = message[1]
		}
		b.Attr(wire.EAPMessage, []byte{failure, id, 0, 4}) // RFC 3748 section 4.2
	}
	switch l.Proof.Method {
	case credential.MSCHAPv1, credential.MSCHAPv2, credential.MSCHAPCPW:
		h.failure(l)
	}
	b.ProxyStates(v)
}

// The errors of RFC 2759 section 6 that are told. All others look like a wrong password.
const (
	errorPasswordExpired = "648"
	errorAuthentication  = "691"
	errorChange          = "709"
)

// failure appends MS-CHAP-Error, RFC 2548 section 2.1.5, in the form of RFC 2759 section 6: with a new challenge, which the
// device may use for its next try.
func (h *handler) failure(l *login) {
	code, message := errorAuthentication, "Authentication failed"
	switch {
	case l.Proof.Method == credential.MSCHAPCPW: // whatever the reason: it would tell who there is
		code, message = errorChange, "Password change failed"
	case l.Decision.MustChangePassword:
		code, message = errorPasswordExpired, "Password expired"
	}
	retry := byte('0')
	if l.Decision.Retry {
		retry = '1'
	}
	challenge := h.challenge[:]
	if l.Proof.Method == credential.MSCHAPv1 {
		challenge = challenge[:8]
	}
	// Read never fails: it ends the process instead.
	_, _ = rand.Read(challenge)
	var buf [128]byte
	text := append(buf[:0], l.ident)
	text = append(text, "E="...)
	text = append(text, code...)
	text = append(text, " R="...)
	text = append(text, retry)
	text = append(text, " C="...)
	hexStart := len(text)
	text = hex.AppendEncode(text, challenge)
	for i := hexStart; i < len(text); i++ { // RFC 2759 writes the digits in upper case
		if text[i] >= 'a' {
			text[i] -= 'a' - 'A'
		}
	}
	text = append(text, " V=3 M="...)
	text = append(text, message...)
	h.builder.VSA(wire.VendorMicrosoft, wire.MSCHAPError, text)
}

// unrendered says in the log that an accept had to become a reject.
func (h *handler) unrendered(l *login, reason trace.Reason, err error) {
	if suppressed, ok := h.complaints.Due(h.loop.Now(), l.from.Addr(), int(wire.PacketFull)); ok {
		info, _ := reason.Info()
		h.logger.LogAttrs(context.Background(), slog.LevelError, "RADIUS accept could not be rendered and became a reject",
			slog.String("client", l.Client.Name), slog.String("user", string(l.Decision.User)), slog.String("reason", string(reason)),
			slog.String("what", info.Meaning), slog.Any("error", err), slog.Uint64("suppressed", suppressed))
	}
}
