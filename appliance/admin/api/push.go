package api

// PushAnswer is what a device says to a push challenge. It comes without an API key: the signature says whose it is.
type PushAnswer struct {
	Challenge []byte `json:"challenge" maxLength:"2048" doc:"The challenge as it came, in base64"`
	Ticket    []byte `json:"ticket" maxLength:"1024" doc:"The ticket as it came, in base64"`
	Approve   bool   `json:"approve" doc:"Whether the person approves the login"`
	Number    uint8  `json:"number,omitempty" maximum:"99" doc:"The number that the person entered; left out where he denies"`
	Signature []byte `json:"signature" maxLength:"128" doc:"By the device's key, in base64: Ed25519 (64 bytes), or ECDSA with SHA-256 in ASN.1. Signed are the bytes trine/push/answer/1 and a zero, the challenge, one byte 1 for approve or 0 for deny, and one byte with the number"`
}
