package stream

// Cause says why a connection was refused or closed. Its text is a counter's label.
type Cause uint8

// The causes. Those that begin with Refused ended a connection before a handler had anything of it but its address.
const (
	open Cause = iota

	RefusedFull        // Limits.Connections are open
	RefusedDescriptors // the process has hardly a file descriptor left
	RefusedStopping    // the engine stops
	RefusedStranger    // the handler knows no client at that address
	RefusedClient      // the client has as many connections as it may
	RefusedHandshakes  // Limits.Handshakes are under way

	ClosedByHandler // Conn.Close
	ClosedByPeer    // an orderly end
	ClosedByNetwork // a connection that broke
	ClosedByStop    // the engine stopped
	Evicted         // it had brought no whole frame when room was needed for another
	ProxyMalformed  // what a listed proxy sent is no PROXY header
	ProxyUnlisted   // a PROXY header from an address that is not a listed proxy's
	HandshakeFailed // TLS: no certificate, an old version, not TLS at all, ...
	TLSBroken       // a record that does not decrypt, after the handshake
	FrameMalformed  // Framing.Length does not accept a header
	PartialFull     // incomplete frames hold Limits.Partial
	OutboundFull    // a client does not read and Limits.Outbound waits for it
	SilentAtFirst   // nothing came within Timeouts.FirstByte
	HandshakeSlow   // no PROXY header, or no TLS, within Timeouts.Handshake
	FrameSlow       // a frame was not whole within Timeouts.Frame
	Idle            // nothing happened within Timeouts.Idle
	WriteSlow       // the client took nothing of what waited for it within Timeouts.Write

	// Causes is how many values a Cause has.
	Causes
)

func (c Cause) String() string {
	names := [Causes]string{
		open:               "open",
		RefusedFull:        "refused_full",
		RefusedDescriptors: "refused_descriptors",
		RefusedStopping:    "refused_stopping",
		RefusedStranger:    "refused_stranger",
		RefusedClient:      "refused_client",
		RefusedHandshakes:  "refused_handshakes",
		ClosedByHandler:    "closed_by_handler",
		ClosedByPeer:       "closed_by_peer",
		ClosedByNetwork:    "closed_by_network",
		ClosedByStop:       "closed_by_stop",
		Evicted:            "evicted",
		ProxyMalformed:     "proxy_malformed",
		ProxyUnlisted:      "proxy_unlisted",
		HandshakeFailed:    "handshake_failed",
		TLSBroken:          "tls_broken",
		FrameMalformed:     "frame_malformed",
		PartialFull:        "partial_full",
		OutboundFull:       "outbound_full",
		SilentAtFirst:      "silent_at_first",
		HandshakeSlow:      "handshake_slow",
		FrameSlow:          "frame_slow",
		Idle:               "idle",
		WriteSlow:          "write_slow",
	}
	if c < Causes {
		return names[c]
	}
	return "unknown"
}

// Refused reports whether the connection was ended before its handler took it.
func (c Cause) Refused() bool { return c >= RefusedFull && c <= RefusedHandshakes }
