package admin

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"trine/engine/credential"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/secret"
)

// fields builds a JSON object whose fields keep their order; empty values are left out.
type fields struct {
	buf []byte
	err error
}

func (f *fields) add(name string, value any) *fields {
	switch v := value.(type) {
	case string:
		if v == "" {
			return f
		}
	case uint32:
		if v == 0 {
			return f
		}
	case uint64:
		if v == 0 {
			return f
		}
	case int64:
		if v == 0 {
			return f
		}
	case bool:
		if !v {
			return f
		}
	case []string:
		if len(v) == 0 {
			return f
		}
	case time.Time:
		if v.IsZero() {
			return f
		}
	case json.RawMessage:
		if len(v) == 0 {
			return f
		}
	}
	data, err := json.Marshal(value)
	if err != nil {
		f.err = fmt.Errorf("encode %s: %w", name, err)
		return f
	}
	if len(f.buf) == 0 {
		f.buf = append(f.buf, '{')
	} else {
		f.buf = append(f.buf, ',')
	}
	f.buf = append(f.buf, '"')
	f.buf = append(f.buf, name...)
	f.buf = append(f.buf, '"', ':')
	f.buf = append(f.buf, data...)
	return f
}

func (f *fields) json() (json.RawMessage, error) {
	if len(f.buf) == 0 {
		f.buf = append(f.buf, '{')
	}
	return append(f.buf, '}'), f.err
}

// eventBody shows the fields of an event: ids as commands take them, bytes of a wire as text, and no secrets.
func (s *Server) eventBody(m proto.Message) (json.RawMessage, error) {
	f := new(fields)
	switch e := m.(type) {
	case *event.DocumentPut:
		f.add("kind", e.Kind).add("name", e.Name).add("version", e.Version)
		d, err := document.FromStored(e.Kind, e.Name, e.Spec)
		if err != nil {
			return nil, err
		}
		spec, err := specJSON(d)
		if err != nil {
			return nil, err
		}
		f.add("by", e.By).add("comment", e.Comment).add("spec", spec)
	case *event.PasswordSet:
		var kept []string
		for _, form := range []struct {
			name  string
			bytes []byte
		}{{"argon2id", e.Argon2Id}, {"keyed", e.Keyed}, {"nt", e.Nt}, {"clear", e.Clear}, {"imported", e.Imported}} {
			if len(form.bytes) > 0 {
				kept = append(kept, form.name)
			}
		}
		f.add("user", e.User).add("kept", kept).add("mustChange", e.MustChange).add("samePassword", e.SamePassword).add("by", e.By)
	case *event.FactorPut:
		f.add("user", e.User).add("id", e.Id).add("kind", factorKind(e.Kind)).add("label", e.Label).add("by", e.By)
	case *event.PushAnswered:
		f.add("user", e.User).add("id", e.Factor).add("challenge", id(e.Challenge)).add("outcome", pushOutcome(e.Outcome))
		f.add("notAfter", secondsTime(e.NotAfterUnix)).add("source", addressText(e.Source))
	case *event.SsoStarted:
		f.add("session", id(e.Session)).add("user", e.User).add("identityProvider", e.IdentityProvider).add("scope", e.Scope).add("factors", proofsBody(e.Proofs))
		f.add("again", len(e.Replaces) > 0).add("idleSeconds", e.Idle).add("notAfter", secondsTime(e.NotAfterUnix)).add("source", addressText(e.Source))
		f.add("device", e.Device).add("login", id(e.Login))
	case *event.SsoUsed:
		f.add("session", id(e.Session)).add("client", e.Client).add("identityProvider", e.IdentityProvider).add("protocol", e.Protocol)
		f.add("reference", wireText(e.Reference))
		if e.Login != 0 {
			f.add("login", id(e.Login))
		}
	case *event.SsoEnded:
		f.add("sessions", ids(e.Sessions)).add("cause", event.SSOEnd(e.Cause).String()).add("by", e.By)
	case *event.GrantStarted:
		f.add("grant", id(e.Grant)).add("user", e.User).add("client", e.Client).add("identityProvider", e.IdentityProvider).add("scopes", e.Scopes).add("offline", e.Offline)
		f.add("code", e.CodeNotAfterUnix != 0).add("refreshToken", len(e.Refresh) > 0).add("notAfter", secondsTime(e.NotAfterUnix)).add("factors", login.Set(e.Factors).String())
		f.add("class", e.Class).add("login", id(e.Login)).add("decision", id(e.Decision))
		if e.Session != 0 {
			f.add("session", id(e.Session))
		}
		if e.Token != 0 {
			f.add("token", id(e.Token))
		}
	case *event.GrantRefreshed:
		f.add("grant", id(e.Grant)).add("generation", e.Generation).add("notAfter", secondsTime(e.NotAfterUnix)).add("token", id(e.Token)).add("decision", id(e.Decision))
	case *event.GrantsEnded:
		f.add("grants", ids(e.Grants)).add("cause", event.GrantEnd(e.Cause).String()).add("by", e.By)
	case *event.TokenRevoked:
		f.add("token", id(e.Token)).add("client", e.Client).add("user", e.User).add("notAfter", secondsTime(e.NotAfterUnix)).add("by", e.By)
	case *event.TokensVoided:
		f.add("client", e.Client).add("user", e.User).add("by", e.By)
	case *event.ConsentRevoked:
		f.add("user", e.User).add("client", e.Client).add("by", e.By)
	case *event.ConsentGiven:
		f.add("user", e.User).add("client", e.Client).add("scopes", e.Scopes).add("claims", e.Claims).add("identityProvider", e.IdentityProvider)
		if e.Login != 0 {
			f.add("login", id(e.Login))
		}
	case *event.SigningKeysMade:
		var keys []string
		for _, k := range e.Keys {
			keys = append(keys, k.Algorithm+" "+k.Id)
		}
		f.add("identityProvider", e.IdentityProvider).add("keys", keys).add("private", secret.Mark).add("by", e.By)
	case *event.GrantsSwept:
		f.add("grants", len(e.Grants)).add("tokens", len(e.Tokens)).add("consents", len(e.Consents)).add("voided", e.Voided).add("keys", e.Keys)
	case *event.DeviceTrusted:
		f.add("user", e.User).add("id", e.Id).add("label", e.Label).add("notAfter", secondsTime(e.NotAfterUnix)).add("source", addressText(e.Source)).add("login", id(e.Login))
	case *event.LoginRemembered:
		f.add("user", e.User).add("factors", login.Set(e.Factors).String()).add("country", e.Country)
	case *event.SessionReserved:
		f.add("user", e.User).add("login", id(e.Login)).add("client", e.Client).add("notAfter", secondsTime(e.NotAfterUnix))
	case *event.SessionsExpired:
		f.add("sessions", ids(e.Sessions)).add("seenBefore", secondsTime(e.SeenBeforeUnix))
	case *event.SessionClosed:
		f.add("session", id(e.Session)).add("by", e.By)
	case *event.TombstonesSwept:
		f.add("before", secondsTime(e.BeforeUnix))
	case *event.Accounted:
		s.accountedBody(f, e)
	case *event.Decided:
		decidedBody(f, e)
	case *event.DecisionsMissing:
		f.add("count", e.Count).add("from", time.Unix(0, e.FromUnixNano).UTC()).add("until", time.Unix(0, e.UntilUnixNano).UTC()).add("cause", e.Cause)
	case *event.ClusterKeyAdded:
		var nodes []string
		for _, w := range e.Wraps {
			nodes = append(nodes, id(w.Node))
		}
		f.add("id", e.Id).add("nodes", nodes)
	case *event.ClusterFounded:
		f.add("cluster", e.Cluster).add("by", e.By).add("key", secret.Mark)
	case *event.JoinTokenMade:
		f.add("id", e.Id).add("role", event.NodeRole(e.Role).String()).add("expires", secondsTime(e.ExpiresUnix)).add("by", e.By).add("hash", secret.Mark)
	case *event.NodeJoined:
		f.add("node", nodeNumber(e.Node)).add("name", e.Name).add("address", e.Address).add("role", event.NodeRole(e.Role).String())
		f.add("certificateSerial", hex.EncodeToString(e.Serial)).add("certificateExpires", secondsTime(e.ExpiresUnix)).add("version", e.Version).add("token", e.Token).add("by", e.By)
	case *event.NodeChanged:
		f.add("node", nodeNumber(e.Node)).add("name", e.Name).add("address", e.Address)
		if e.Role != 0 {
			f.add("role", event.NodeRole(e.Role).String())
		}
		f.add("certificateSerial", hex.EncodeToString(e.Serial)).add("certificateExpires", secondsTime(e.ExpiresUnix)).add("version", e.Version).add("by", e.By)
	case *event.NodeRemoved:
		f.add("node", nodeNumber(e.Node)).add("by", e.By)
	case *event.ApiKeyCreated:
		f.add("id", e.Id).add("description", e.Description).add("scopes", e.Scopes).add("expires", secondsTime(e.ExpiresUnix)).add("by", e.By).add("hash", secret.Mark)
	case *event.Staged:
		f.add("stage", id(e.Stage)).add("piece", e.Piece).add("events", uint64(len(e.Events)))
	case *event.StageCommitted:
		f.add("stage", id(e.Stage)).add("pieces", e.Pieces).add("by", e.By)
	case *event.StageAbandoned:
		f.add("stage", id(e.Stage))
	case *event.NodeStarted:
		f.add("node", id(e.Node)).add("name", e.Name).add("version", e.Version).add("boot", e.Boot)
	default:
		// What is left has no secrets and no bytes: PasswordRemoved, ApiKeyRevoked, JoinTokenRevoked, Consumed, FactorRemoved, FactorUsed, DeviceDistrusted.
		data, err := protojson.Marshal(m)
		if err != nil {
			return nil, fmt.Errorf("encode %T: %w", m, err)
		}
		return data, nil
	}
	return f.json()
}

// nodeNumber shows a node's number as the cluster's commands take it.
func nodeNumber(node uint64) string { return fmt.Sprintf("%016x", node) }

// proofsBody tells the factors that count in a session of single sign-on.
func proofsBody(proofs []*event.SsoStarted_Proof) (out []string) {
	for _, p := range proofs {
		text := login.Factor(p.Factor).String()
		if p.Device {
			text += " (by a trusted device)"
		}
		out = append(out, text)
	}
	return out
}

func (s *Server) accountedBody(f *fields, e *event.Accounted) {
	f.add("status", statusName(e.Status)).add("user", e.User).add("userName", wireText(e.UserName)).add("client", e.Client).add("nas", wireText(e.Nas))
	if len(e.SessionId) > 0 && len(e.Command) == 0 {
		f.add("session", id(event.SessionID(e.Client, e.Nas, e.SessionId)))
	}
	f.add("acctSessionId", wireText(e.SessionId)).add("protocol", e.Protocol).add("command", wireText(e.Command))
	if e.Login != 0 {
		f.add("login", id(e.Login))
	}
	f.add("framedIP", addressText(e.FramedIp)).add("framedIPv6", framedText(e.FramedIpv6Prefix)).add("calling", wireText(e.Calling)).add("called", wireText(e.Called))
	f.add("nasPort", e.NasPort).add("nasPortId", wireText(e.NasPortId)).add("seconds", e.SessionTime)
	f.add("inputOctets", e.InputOctets).add("outputOctets", e.OutputOctets).add("inputPackets", e.InputPackets).add("outputPackets", e.OutputPackets)
	f.add("terminateCause", e.TerminateCause).add("happened", secondsTime(e.EventUnix)).add("source", addressText(e.Source))
	// What came is shown whole: also what has no field above.
	if s.cfg.Attributes != nil {
		if lines, ok := s.cfg.Attributes(e.Protocol, e.Raw); ok {
			f.add("attributes", lines)
			return
		}
	}
	f.add("raw", hex.EncodeToString(e.Raw))
}

func decidedBody(f *fields, e *event.Decided) {
	f.add("id", id(e.Id)).add("verdict", event.Verdict(e.Verdict).String()).add("reason", e.Reason).add("userName", wireText(e.UserName)).add("user", e.User)
	f.add("client", e.Client).add("protocol", e.Protocol).add("method", credential.Method(e.Method).String()).add("nas", wireText(e.Nas)).add("nasPort", e.NasPort)
	f.add("calling", wireText(e.Calling)).add("called", wireText(e.Called)).add("source", addressText(e.Source)).add("port", wireText(e.Port))
	if kind := event.DecisionKind(e.Kind); kind != event.DecidedLogin {
		f.add("kind", kind.String())
	}
	f.add("service", wireText(e.Service)).add("command", wireText(e.Command)).add("levelAsked", oneLess(e.Level)).add("levelGiven", oneLess(e.Privilege))
	f.add("at", time.Unix(0, e.AtUnixNano).UTC()).add("policy", e.PolicyIndex).add("micros", e.TookMicros)
}

// oneLess returns a privilege level as text, of a number that is one more; empty for none.
func oneLess(n uint32) string {
	if n == 0 {
		return ""
	}
	return itoa(int(n - 1))
}

// statusName names an Acct-Status-Type (RFC 2866 section 5.1).
func statusName(status uint32) string {
	switch status {
	case 1:
		return "start"
	case 2:
		return "stop"
	case 3:
		return "interim"
	case 7:
		return "on"
	case 8:
		return "off"
	}
	return itoa(int(status))
}

func id(n uint64) string { return event.FormatID(n) }

func ids(list []uint64) []string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = id(n)
	}
	return out
}

// secondsTime returns a time of whole seconds; 0 is none.
func secondsTime(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// addressText prints a packed address, whose bytes could also be text.
func addressText(b []byte) string {
	addr, ok := netip.AddrFromSlice(b)
	if !ok {
		return ""
	}
	return addr.Unmap().String()
}
