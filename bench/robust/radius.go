package main

import (
	"crypto/hmac"
	"crypto/md5"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"trine/bench/robust/network"
)

// secret is shared by the nodes and the devices.
const secret = "a-long-shared-secret-of-robust"

// device is a network access server with one request under way.
type device struct {
	name string
	conn *net.UDPConn
	next byte
}

func newDevice(h *network.Host, name string) (*device, error) {
	d := &device{name: name}
	err := h.Do(func() (err error) {
		d.conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: h.Address().AsSlice()})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open a device's socket: %w", err)
	}
	return d, nil
}

func (d *device) close() { d.conn.Close() }

// packet is a request that can be sent again as it is.
type packet struct {
	request *radius.Packet
	bytes   []byte
}

// errSilent is the error of a request that nobody answered in time.
var errSilent = errors.New("no answer")

// exchange sends a packet to a node as often as it says, and returns the answer.
func (d *device) exchange(p *packet, to netip.AddrPort, tries int, each time.Duration) (*radius.Packet, error) {
	buffer := make([]byte, 4096)
	for range tries {
		if _, err := d.conn.WriteToUDPAddrPort(p.bytes, to); err != nil && errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		deadline := time.Now().Add(each)
		if err := d.conn.SetReadDeadline(deadline); err != nil {
			return nil, err
		}
		for {
			size, from, err := d.conn.ReadFromUDPAddrPort(buffer)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if errors.Is(err, net.ErrClosed) {
				return nil, err
			}
			if err != nil { // the port is closed: wait as for an answer
				continue
			}
			if from.Addr() != to.Addr() || size < 20 || buffer[1] != p.bytes[1] || !radius.IsAuthenticResponse(buffer[:size], p.bytes, []byte(secret)) {
				continue // an answer to an earlier request
			}
			return radius.Parse(buffer[:size], []byte(secret))
		}
	}
	return nil, errSilent
}

// login builds an Access-Request with a password (RFC 2865 section 5.2) and a Message-Authenticator (RFC 2869 section 5.14).
func (d *device) login(user, password string) (*packet, error) {
	r := radius.New(radius.CodeAccessRequest, []byte(secret))
	d.next++
	r.Identifier = d.next
	err := errors.Join(
		rfc2865.UserName_SetString(r, user), rfc2865.UserPassword_SetString(r, password), rfc2865.NASIdentifier_SetString(r, d.name),
		rfc2865.CallingStationID_SetString(r, "02-00-00-00-00-01"), rfc2869.MessageAuthenticator_Set(r, make([]byte, md5.Size)),
	)
	if err != nil {
		return nil, fmt.Errorf("build a login: %w", err)
	}
	text, err := r.Encode()
	if err != nil {
		return nil, fmt.Errorf("build a login: %w", err)
	}
	mac := hmac.New(md5.New, []byte(secret))
	mac.Write(text)
	if err := rfc2869.MessageAuthenticator_Set(r, mac.Sum(nil)); err != nil {
		return nil, fmt.Errorf("sign a login: %w", err)
	}
	if text, err = r.Encode(); err != nil {
		return nil, fmt.Errorf("build a login: %w", err)
	}
	return &packet{r, text}, nil
}

// record names one accounting record.
type record struct {
	Session string `json:"acctSessionId"`
	Status  string `json:"status"` // start, interim or stop
	Seconds uint32 `json:"seconds"`
}

var statuses = map[string]rfc2866.AcctStatusType{
	"start": rfc2866.AcctStatusType_Value_Start, "interim": rfc2866.AcctStatusType_Value_InterimUpdate, "stop": rfc2866.AcctStatusType_Value_Stop,
}

// account builds an Accounting-Request (RFC 2866 section 4.1). Class is what the login was answered with.
func (d *device) account(r record, user string, class []byte, delay time.Duration) (*packet, error) {
	p := radius.New(radius.CodeAccountingRequest, []byte(secret))
	d.next++
	p.Identifier = d.next
	err := errors.Join(
		rfc2866.AcctStatusType_Set(p, statuses[r.Status]), rfc2866.AcctSessionID_SetString(p, r.Session), rfc2865.UserName_SetString(p, user),
		rfc2865.NASIdentifier_SetString(p, d.name), rfc2865.CallingStationID_SetString(p, "02-00-00-00-00-01"),
		rfc2866.AcctSessionTime_Set(p, rfc2866.AcctSessionTime(r.Seconds)),
		rfc2866.AcctInputOctets_Set(p, rfc2866.AcctInputOctets(r.Seconds*1000)), rfc2866.AcctOutputOctets_Set(p, rfc2866.AcctOutputOctets(r.Seconds*2000)),
	)
	if len(class) > 0 {
		err = errors.Join(err, rfc2865.Class_Set(p, class))
	}
	if delay >= time.Second {
		err = errors.Join(err, rfc2866.AcctDelayTime_Set(p, rfc2866.AcctDelayTime(delay/time.Second)))
	}
	if err != nil {
		return nil, fmt.Errorf("build an accounting request: %w", err)
	}
	text, err := p.Encode()
	if err != nil {
		return nil, fmt.Errorf("build an accounting request: %w", err)
	}
	return &packet{p, text}, nil
}
