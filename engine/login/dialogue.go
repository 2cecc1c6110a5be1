package login

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"trine/engine/secret"
)

// Dialogue is what a login over pages takes with it from one request to the next: it goes to the browser, sealed under the cluster key, and any node that
// has the key goes on from it. Nothing of it is kept but that it was used.
type Dialogue struct {
	ID       uint64    `json:"id,omitempty"` // the decision that made it; it can be used once. 0: nothing was proved yet, so it may be used as often as one likes
	Issuer   string    `json:"idp"`
	Client   string    `json:"sp"`
	User     string    `json:"user,omitempty"` // his name, once he has proved something, or was sent something
	UserID   uint64    `json:"uid,omitempty"`
	Version  uint64    `json:"cv,omitempty"` // of his credential: a change of the password voids the dialogue
	Nobody   bool      `json:"no,omitempty"` // nobody has the name: what is sent goes nowhere
	Demand   Demand    `json:"demand"`
	Proved   []Proven  `json:"proved,omitempty"`
	Asked    Factor    `json:"asked,omitempty"` // what was begun
	Sent     uint64    `json:"sent,omitempty"`  // the decision that sent the code, which it is bound to
	Code     []byte    `json:"code,omitempty"`  // its keyed form
	CodeEnds time.Time `json:"ends,omitzero"`
	Failures int       `json:"failures,omitempty"` // at the code
	Push     PushRound `json:"push,omitzero"`
	WebAuthn []byte    `json:"webauthn,omitempty"` // the ceremony that was begun
	NotAfter time.Time `json:"until"`              // whole seconds
	Index    uint64    `json:"index,omitempty"`    // the log index that the node that goes on must have reached
}

const (
	// MaxDialogue bounds the length of sealed dialogues in bytes, so that one fits a cookie.
	MaxDialogue     = 3072
	dialogueContext = "trine/dialogue/1"
	// dialogueRoom is how long a dialogue is made beside what the request demands, so that its length does not tell whether there is anybody, or how far he has come.
	dialogueRoom = 1024
)

var errDialogue = errors.New("what the login takes with it is longer than a cookie has room for")

// Seal returns the sealed dialogue. It fails with secret.ErrNoKey where the cluster has no key yet.
func (d *Dialogue) Seal(keys *secret.Keyring) ([]byte, error) {
	plain, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode a dialogue: %w", err)
	}
	demand, err := json.Marshal(d.Demand)
	if err != nil {
		return nil, fmt.Errorf("encode a dialogue: %w", err)
	}
	if n := dialogueRoom + len(d.Issuer) + len(d.Client) + len(demand) - len(plain); n > 0 {
		plain = append(plain, strings.Repeat(" ", n)...)
	}
	sealed, err := keys.Seal(nil, plain, []byte(dialogueContext))
	if err == nil && len(sealed) > MaxDialogue {
		err = errDialogue
	}
	if err != nil {
		return nil, fmt.Errorf("seal a dialogue: %w", err)
	}
	return sealed, nil
}

// OpenDialogue reads a sealed dialogue; the error is ErrForeign. Whether it is still good is the caller's to ask.
func OpenDialogue(sealed []byte, keys *secret.Keyring) (d Dialogue, err error) {
	if len(sealed) > MaxDialogue {
		return d, ErrForeign
	}
	plain, err := keys.Open(nil, sealed, []byte(dialogueContext))
	if err != nil || json.Unmarshal(plain, &d) != nil {
		return Dialogue{}, ErrForeign
	}
	return d, nil
}
