package stream

import "trine/protocols/internal/proxy"

// receive takes the bytes that came, by the connection's phase. What comes after its end is passed over.
func (c *Conn) receive(data []byte) {
	l := c.loop
	if !c.heard {
		c.heard = true
		if c.phase < phaseOpen {
			c.deadline = l.at + int64(l.config.Timeouts.Handshake)
		}
		if c.phase != phaseProxy && proxy.Begins(data) {
			c.breakOff(ProxyUnlisted, nil)
		}
	}
	if c.phase == phaseProxy {
		data = c.proxied(data)
	}
	switch c.phase {
	case phaseHello:
		c.hello(data)
	case phaseHandshake:
		if !c.secure.wire.push(data) {
			c.breakOff(HandshakeFailed, errFlood)
		}
	case phaseOpen:
		if c.secure != nil {
			c.secure.wire.in = data
			c.decrypt()
		} else {
			c.feed(data)
		}
	}
}

// proxied reads the header of a proxy and returns what follows it. Before the header is whole, the phase stays.
func (c *Conn) proxied(data []byte) (rest []byte) {
	before := len(c.partial)
	header := data
	if before > 0 {
		if !c.keep(data[:min(len(data), proxy.MaxHeader-before)], proxy.MaxHeader) {
			return nil
		}
		header = c.partial
	}
	source, length, err := proxy.Parse(header)
	switch {
	case err != nil:
		c.breakOff(ProxyMalformed, err)
		return nil
	case length == 0:
		if before == 0 {
			c.keep(data, proxy.MaxHeader)
		}
		return nil
	}
	c.release()
	if source.IsValid() {
		c.remote = source
	}
	c.admit()
	return data[length-before:]
}

// feed cuts bytes into frames, hands over those that are whole, and keeps the beginning of one that is not.
func (c *Conn) feed(data []byte) {
	if len(data) == 0 {
		return
	}
	l := c.loop
	framing := &l.config.Framing
	frames := l.frames[:0]
	var joined []byte
	if len(c.partial) > 0 {
		var whole bool
		if data, whole = c.join(data); !whole {
			return
		}
		joined = c.partial
		c.partial = nil
		frames = append(frames, joined)
	}
	malformed := false
	for c.phase == phaseOpen && len(data) >= framing.Header {
		length := framing.Length(data[:framing.Header])
		if malformed = length < framing.Header || length > framing.Max; malformed || length > len(data) {
			break
		}
		frames = append(frames, data[:length:length])
		data = data[length:]
		if len(frames) == BatchSize {
			c.deliver(frames)
			frames = frames[:0]
			if len(c.out) > l.config.Limits.Outbound/4 { // the bound is meant for clients that do not read, not for those that ask much at once
				c.flush()
			}
		}
	}
	c.deliver(frames)
	if joined != nil {
		l.held -= cap(joined)
		l.parts.give(joined)
	}
	switch {
	case c.phase != phaseOpen:
	case malformed:
		c.endWith(FrameMalformed, nil)
	case len(data) > 0:
		c.keep(data, c.wanted(data))
		c.deadline = l.at + int64(l.config.Timeouts.Frame)
	default:
		c.deadline = l.at + int64(c.idle)
	}
}

// deliver hands whole frames to the handler.
func (c *Conn) deliver(frames [][]byte) {
	if len(frames) == 0 || c.phase != phaseOpen {
		return
	}
	c.spoke = true
	s := &c.loop.stats
	s.Frames.Add(uint64(len(frames)))
	s.Batches.Add(1)
	c.loop.handler.Frames(c, frames)
}

// wanted returns how many bytes the frame that begins with data has, or its header as long as that is not whole.
func (c *Conn) wanted(data []byte) int {
	f := &c.loop.config.Framing
	if len(data) < f.Header {
		return f.Header
	}
	return f.Length(data[:f.Header])
}

// join adds to the frame that is not whole what it lacks, and returns what follows it. Not whole also means that the
// connection has ended.
func (c *Conn) join(data []byte) (rest []byte, whole bool) {
	f := &c.loop.config.Framing
	for {
		want := c.wanted(c.partial)
		if want < f.Header || want > f.Max {
			c.endWith(FrameMalformed, nil)
			return nil, false
		}
		lack := want - len(c.partial)
		if lack == 0 {
			return data, true
		}
		n := min(lack, len(data))
		if n == 0 || !c.keep(data[:n], want) {
			return nil, false
		}
		data = data[n:]
	}
}

// keep adds data to what is not whole, which will have want bytes. Room is made for what has come and not for what was
// announced, and all connections of a loop share a bound; false means that it is reached and the connection ended.
func (c *Conn) keep(data []byte, want int) bool {
	l := c.loop
	need := len(c.partial) + len(data)
	if need > cap(c.partial) {
		bigger := l.parts.take(max(need, min(want, 2*cap(c.partial))))
		l.held += cap(bigger) - cap(c.partial)
		bigger = append(bigger, c.partial...)
		l.parts.give(c.partial)
		c.partial = bigger
		if l.held > l.config.Limits.Partial/l.config.Loops {
			c.breakOff(PartialFull, nil)
			return false
		}
	}
	c.partial = append(c.partial, data...)
	return true
}

// release empties what was kept.
func (c *Conn) release() {
	c.loop.held -= cap(c.partial)
	c.loop.parts.give(c.partial)
	c.partial = nil
}
