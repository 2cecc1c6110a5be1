package event_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"trine/engine/event"
)

var update = flag.Bool("update", false, "add corpus files for event types that have none; files that exist are never changed")

// examples holds one message of each type with every field set, for the types that have no corpus file yet.
func examples(t *testing.T) map[event.Type]proto.Message {
	spec, err := proto.MarshalOptions{Deterministic: true}.Marshal(&event.UserSpec{
		FirstName: "Alice", LastName: "Liddell", FullName: "Alice Liddell", ShortName: "alice", Mail: "alice", MailDomain: "example.org",
		Mobile: "+34600000000", Aliases: []string{"al"}, DirectoryDn: "uid=alice,dc=example,dc=org", UserType: "staff", PrimaryGroup: "readers",
		Groups: []string{"readers", "wonderland"}, Inactive: true,
		Attributes: []*event.UserSpec_Attribute{{Name: "room", Values: []string{"1", "Zimmer 2"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	groupSpec := []byte(`{"name":"readers","secret":"sealed:AAAA"}`)
	staged, err := proto.Marshal(&event.DocumentPut{Kind: "Group", Name: "staged", Spec: groupSpec, By: "import"})
	if err != nil {
		t.Fatal(err)
	}
	list := []proto.Message{
		&event.DocumentPut{
			Kind: "User", Name: "Alice", Version: 1, Spec: spec, Refs: []string{"Group/readers"}, Claims: []string{"login/alice", "login/al"},
			By: "admin", Comment: "first",
		},
		&event.DocumentDeleted{Kind: "User", Name: "Alice", By: "admin", Comment: "left"},
		&event.PasswordSet{
			User: "alice", Argon2Id: []byte("argon2id form"), Keyed: []byte("keyed form"), Nt: []byte("nt form"), Clear: []byte("clear form"),
			MustChange: true, By: "admin", Imported: []byte("imported form"), History: 3, Past: []byte("past form"), SamePassword: true,
		},
		&event.PasswordRemoved{User: "alice", By: "admin"},
		&event.SessionReserved{User: "alice", Login: 0x1122334455667788, Client: "wlan", NotAfterUnix: 1772366460},
		&event.SessionsExpired{Sessions: []uint64{1, 0xfedcba9876543210}, SeenBeforeUnix: 1772366400},
		&event.TombstonesSwept{BeforeUnix: 1772280000},
		&event.SessionClosed{Session: 0x0102030405060708, By: "admin"},
		&event.Consumed{Key: "totp/7/59078880", NotAfterUnix: 1772366460},
		&event.Accounted{
			Client: "wlan", Nas: []byte("ap-17"), SessionId: []byte("5F1A"), Status: 3, UserName: []byte("alice@example.org"), User: "alice",
			Login: 0x1122334455667788, FramedIp: []byte{10, 1, 2, 3}, FramedIpv6Prefix: []byte{0, 64, 0x20, 1, 0xd, 0xb8, 0, 1, 0, 2},
			Calling: []byte("AA-BB-CC-DD-EE-FF"), Called: []byte("00-11-22-33-44-55:corp"), NasPortId: []byte("wlan0"), NasPort: 17,
			SessionTime: 600, InputOctets: 1 << 33, OutputOctets: 1 << 34, InputPackets: 1 << 20, OutputPackets: 1 << 21, TerminateCause: 1,
			EventUnix: 1772366400, Key: 0xa1b2c3d4e5f60718, Raw: []byte{26, 6, 0, 0, 0, 9}, StaleAfter: 1800, Source: []byte{192, 0, 2, 9},
			Class: []byte("8H5K"),
		},
		&event.Decided{
			Id: 0x1122334455667788, Verdict: 2, Reason: "password.wrong", Client: "wlan", UserName: []byte("Alice"), User: "alice", Method: 1,
			Nas: []byte{192, 0, 2, 9}, Calling: []byte("AA-BB-CC-DD-EE-FF"), Called: []byte("corp"), Source: []byte{192, 0, 2, 9}, NasPort: 17,
			AtUnixNano: 1772366400123456789, PolicyIndex: 42, TookMicros: 350, Protocol: "tacacs",
			Kind: uint32(event.DecidedAuthorization), Service: []byte("shell"), Command: []byte("show version"), Level: 2, Privilege: 16, Port: []byte("tty1"),
			Steps: []*event.Decided_Step{{Code: 3, Subject: "alice", Detail: "argon2id", TookNanos: 200000}},
		},
		&event.DecisionsMissing{Count: 12, FromUnixNano: 1772366400000000000, UntilUnixNano: 1772366401000000000, Cause: "queue full"},
		&event.ClusterKeyAdded{Id: 3, Wraps: []*event.ClusterKeyAdded_Wrap{{Node: 1, Wrapped: []byte("wrapped for one")}, {Node: 2, Wrapped: []byte("for two")}}},
		&event.ApiKeyCreated{
			Id: "k7", Description: "backup", Hash: bytes.Repeat([]byte{7}, 32), Scopes: []string{"read", "export"}, ExpiresUnix: 1803902400, By: "admin",
		},
		&event.ApiKeyRevoked{Id: "k7", By: "admin"},
		&event.Staged{
			Stage: 0x0a0b0c0d0e0f1011, Piece: 0,
			Events: []*event.Event{{Type: uint32(event.TypeDocumentPut), Class: uint32(event.ClassIdentity), Streams: []uint64{5}, Body: staged}},
			Expect: []*event.Expectation{{Kind: event.Expectation_ABSENT, Key: "Group/staged"}},
		},
		&event.StageCommitted{Stage: 0x0a0b0c0d0e0f1011, Pieces: 1, By: "import"},
		&event.StageAbandoned{Stage: 0x0a0b0c0d0e0f1012},
		&event.NodeStarted{Node: 1, Name: "trine1", Version: "0.1.0", Boot: 3},
		&event.LoginFailed{
			Name: []byte("alice"), Source: 0xa1b2c3d4e5f60718, Factor: 1, Apart: true, Attempts: 10, Total: 50, Window: 900, Duration: 600,
			Progressive: true, Login: 0x1122334455667788,
		},
		&event.FailuresCleared{Name: []byte("alice"), Source: 0xa1b2c3d4e5f60718, Apart: 7, By: "admin", Login: 0x1122334455667788},
		&event.FactorPut{User: "alice", Id: "f1", Kind: 4, Label: "telephone", Data: []byte("sealed secret"), By: "admin"},
		&event.FactorUsed{User: "alice", Id: "f1", Counter: 59078880, Drift: -1},
		&event.FactorRemoved{User: "alice", Id: "f1", By: "admin"},
		&event.LoginRemembered{
			User: "alice", Host: []byte{1, 2, 3, 4, 5, 6, 7, 8}, Factors: 18, Latitude: 41403, Longitude: 2174, Country: "ES", Located: true, Limit: 8,
		},
		&event.PushAnswered{
			User: "alice", Factor: "f1", Challenge: 0x1122334455667788, Outcome: uint32(event.PushApproved), NotAfterUnix: 1772366460, Source: []byte{192, 0, 2, 9},
		},
		&event.ClusterFounded{Cluster: "5f1c3f3a9d0b7c42", Authority: []byte("certificate of the authority"), Key: []byte("sealed key"), By: "admin"},
		&event.JoinTokenMade{Id: "t1", Hash: bytes.Repeat([]byte{7}, 32), Role: uint32(event.RoleVoter), ExpiresUnix: 1772367300, By: "admin"},
		&event.JoinTokenRevoked{Id: "t1", By: "admin"},
		&event.NodeJoined{
			Node: 2, Name: "trine2", Address: "192.0.2.2:1445", Role: uint32(event.RoleVoter), Public: bytes.Repeat([]byte{9}, 32), Serial: []byte{1, 2, 3},
			ExpiresUnix: 1780142400, Version: "0.1.0", Token: "t1", By: "token:t1",
		},
		&event.NodeChanged{
			Node: 2, Name: "trine-two", Address: "192.0.2.3:1445", Role: uint32(event.RoleReplica), Serial: []byte{4, 5, 6}, ExpiresUnix: 1787918400, Version: "0.2.0", By: "admin",
		},
		&event.NodeRemoved{Node: 2, By: "admin"},
		&event.SsoStarted{
			Session: 0x0807060504030201, Hash: bytes.Repeat([]byte{9}, 32), Replaces: bytes.Repeat([]byte{8}, 32), User: "alice", Scope: "cookie/sso@example.org",
			IdentityProvider: "home", Idle: 1800, NotAfterUnix: 1772409600, Source: []byte{192, 0, 2, 9}, Device: "d1", Login: 0x1122334455667788,
			Proofs: []*event.SsoStarted_Proof{
				{Factor: 1, AtUnix: 1772366400, Login: 0x1122334455667788}, {Factor: 4, AtUnix: 1772366400, Login: 0x1122334455667788, Device: true},
			},
		},
		&event.SsoUsed{
			Session: 0x0807060504030201, Hash: bytes.Repeat([]byte{9}, 32), Client: "wiki", IdentityProvider: "home", Protocol: "oidc", Reference: []byte("sid-7"),
			Login: 0x1122334455667788,
		},
		&event.SsoEnded{Sessions: []uint64{0x0807060504030201, 7}, Cause: uint32(event.SSOClosed), By: "admin"},
		&event.DeviceTrusted{
			User: "alice", Id: "d1", Hash: bytes.Repeat([]byte{7}, 32), Label: "laptop", NotAfterUnix: 1774958400, Limit: 10, Source: []byte{192, 0, 2, 9},
			Login: 0x1122334455667788,
		},
		&event.DeviceDistrusted{User: "alice", Id: "d1", By: "admin"},
		&event.GrantStarted{
			Grant: 0x0a0b0c0d0e0f0102, CodeNotAfterUnix: 1772366460, User: "alice", Client: "wiki", IdentityProvider: "home", Scopes: []string{"openid", "profile"},
			Detail: []byte("nonce"), Session: 0x0807060504030201, Offline: true, NotAfterUnix: 1774958400, Refresh: bytes.Repeat([]byte{5}, 32), Factors: 18,
			AuthenticatedUnix: 1772366400, Class: "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport", Login: 0x1122334455667788,
			Token: 0x1213141516171819, Decision: 0x1122334455667789,
		},
		&event.GrantRefreshed{
			Grant: 0x0a0b0c0d0e0f0102, Generation: 1, Replaces: bytes.Repeat([]byte{5}, 32), Refresh: bytes.Repeat([]byte{6}, 32), NotAfterUnix: 1774962000,
			Token: 0x121314151617181a, Decision: 0x112233445566778a,
		},
		&event.GrantsEnded{Grants: []uint64{0x0a0b0c0d0e0f0102, 7}, Cause: uint32(event.GrantClosed), By: "admin"},
		&event.TokenRevoked{Token: 0x121314151617181a, NotAfterUnix: 1774962000, Client: "wiki", User: "alice", By: "admin"},
		&event.TokensVoided{Client: "wiki", User: "alice", By: "admin"},
		&event.ConsentGiven{
			User: "alice", Client: "wiki", Scopes: []string{"openid", "profile"}, Claims: []string{"email"}, IdentityProvider: "home", Login: 0x1122334455667788,
		},
		&event.ConsentRevoked{User: "alice", Client: "wiki", By: "admin"},
		&event.SigningKeysMade{
			IdentityProvider: "home", Serial: 3, By: "admin",
			Keys: []*event.SigningKeysMade_Key{{
				Id: "k1", Algorithm: "ES256", Private: []byte("sealed private key"), Public: []byte("public key"), ActiveUnix: 1772370000, FormerUnix: 1772460000,
			}},
		},
		&event.GrantsSwept{
			Grants: []uint64{0x0a0b0c0d0e0f0102}, Tokens: []uint64{0x121314151617181a}, Consents: [][]byte{[]byte("\x00\x00\x00\x00\x00\x00\x00\x07wiki")},
			Voided: []string{"c/wiki"}, Keys: []string{"home"},
		},
	}
	byType := make(map[event.Type]proto.Message)
	for _, m := range list {
		byType[event.TypeOf(m)] = m
	}
	return byType
}

func classOfType(t event.Type) event.Class {
	switch {
	case t <= event.TypePasswordRemoved:
		return event.ClassIdentity
	case t < event.TypeAccounted:
		return event.ClassSession
	case t == event.TypeAccounted:
		return event.ClassAccounting
	case t < event.TypeClusterKeyAdded, t == event.TypeLoginFailed, t == event.TypeFailuresCleared:
		return event.ClassDecision
	case t >= event.TypeSSOStarted && t <= event.TypeSSOEnded:
		return event.ClassSession
	case t >= event.TypeGrantStarted && t <= event.TypeTokensVoided, t == event.TypeGrantsSwept:
		return event.ClassSession
	case t == event.TypeSigningKeysMade:
		return event.ClassSystem
	case t >= event.TypeClusterFounded && t < event.TypeSSOStarted:
		return event.ClassSystem
	case t >= event.TypeFactorPut:
		return event.ClassIdentity
	}
	return event.ClassSystem
}

// later are further files, for types that got fields after their first one was frozen.
var later = map[string]event.Type{"PasswordSet-imported": event.TypePasswordSet, "Decided-authorization": event.TypeDecided}

func TestEveryTypeEverWrittenDecodes(t *testing.T) {
	files := maps.Clone(later)
	for _, typ := range event.Types() {
		files[typ.String()] = typ
	}
	for file, typ := range files {
		name := filepath.Join("testdata", "corpus", file+".txt")
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile(name)
			if errors.Is(err, fs.ErrNotExist) && *update {
				text = example(t, typ, name)
			} else if err != nil {
				t.Fatalf("%v; -update adds it", err)
			}
			digits, want, _ := strings.Cut(string(text), "\n\n")
			data, err := hex.DecodeString(strings.ReplaceAll(digits, "\n", ""))
			if err != nil {
				t.Fatal(err)
			}
			got, m, err := event.Decode(data)
			if err != nil || got != typ {
				t.Fatalf("decoded as %v, %v", got, err)
			}
			if m.ProtoReflect().Descriptor().Fields().Len() == 0 {
				t.Error("a type without fields")
			}
			if print := indent(t, data); print != want {
				t.Errorf("prints as\n%swant\n%s", print, want)
			}
		})
	}
	if list, err := os.ReadDir(filepath.Join("testdata", "corpus")); err != nil || len(list) != len(files) {
		t.Errorf("%d corpus files for %d examples, %v", len(list), len(files), err)
	}
}

// example writes a corpus file that is not there yet.
func example(t *testing.T, typ event.Type, name string) []byte {
	m := examples(t)[typ]
	if m == nil {
		t.Fatal("no example message")
	}

	for i := range m.ProtoReflect().Descriptor().Fields().Len() {
		if fd := m.ProtoReflect().Descriptor().Fields().Get(i); !m.ProtoReflect().Has(fd) && fd.Name() != "piece" {
			t.Fatalf("the example does not set %s", fd.Name())
		}
	}
	var b event.Builder
	if err := b.Add(typ, classOfType(typ), []uint64{1, 0xffeeddccbbaa9988}, m); err != nil {
		t.Fatal(err)
	}
	_, data, _, err := event.NextPart(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for digits := hex.EncodeToString(data); digits != ""; {
		n := min(100, len(digits))
		text.WriteString(digits[:n] + "\n")
		digits = digits[n:]
	}
	text.WriteString("\n" + indent(t, data))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return []byte(text.String())
}

func indent(t *testing.T, data []byte) string {
	t.Helper()
	compact, err := event.JSON(data)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, compact, "", "  "); err != nil {
		t.Fatalf("%v in %s", err, compact)
	}
	return b.String() + "\n"
}

func TestSecretsAreNotPrinted(t *testing.T) {
	for typ, secrets := range map[event.Type][]string{
		event.TypePasswordSet:     {"argon2id form", "keyed form", "nt form", "clear form", "past form", "imported form"},
		event.TypeAPIKeyCreated:   {"\\u0007", "0707"},
		event.TypeClusterKeyAdded: {"wrapped for", "for two"},
		event.TypeStaged:          {"sealed:"},
		event.TypeClusterFounded:  {"sealed key"},
		event.TypeJoinTokenMade:   {"\\u0007", "0707"},
		event.TypeSSOStarted:      {"0909", "0808", "\\t\\t"},
		event.TypeSSOUsed:         {"0909", "\\t\\t"},
		event.TypeDeviceTrusted:   {"0707"},
		event.TypeGrantStarted:    {"0505", "\\u0005"},
		event.TypeGrantRefreshed:  {"0505", "0606", "\\u0005", "\\u0006"},
		event.TypeSigningKeysMade: {"sealed private"},
	} {
		var b event.Builder
		if err := b.Add(typ, event.ClassSystem, nil, examples(t)[typ]); err != nil {
			t.Fatal(err)
		}
		_, data, _, err := event.NextPart(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		text, err := event.JSON(data)
		if err != nil || !bytes.Contains(text, []byte("«redacted»")) {
			t.Errorf("%s: %s, %v", typ, text, err)
		}
		for _, secret := range secrets {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s prints %q in %s", typ, secret, text)
			}
		}
	}
}

func TestIDsComeBack(t *testing.T) {
	for _, id := range []uint64{0, 1, 31, 32, 1<<64 - 1, 0x1122334455667788} {
		text := event.FormatID(id)
		if got, err := event.ParseID(strings.ToLower(text)); err != nil || got != id || len(text) != 13 {
			t.Errorf("%d prints as %s, which reads as %d, %v", id, text, got, err)
		}
	}
	for _, bad := range []string{"", "0", "G000000000000", "000000000000U", "00000000000000", "000000000000é"} {
		if _, err := event.ParseID(bad); !errors.Is(err, event.ErrID) {
			t.Errorf("%q reads: %v", bad, err)
		}
	}
}
