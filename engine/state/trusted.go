package state

import (
	"encoding/binary"
	"fmt"
	"slices"

	"trine/engine/event"
	"trine/engine/event/field"
)

// MaxTrusted is how many trusted devices a person may have, whatever an event says.
const MaxTrusted = 50

// TrustedDevice is a browser's device that can stand for a person's second factor.
type TrustedDevice struct {
	ID        string
	Hash      SSOHash // of the secret that the device keeps
	Label     string
	CreatedAt int64 // unix seconds
	UsedAt    int64 // unix seconds; 0: never
	NotAfter  int64 // unix seconds, from which on it stands for nothing
	Source    []byte
	Login     uint64 // decision id
}

// TrustedDevices returns the trusted devices of the user of that id, in the order in which they came to be trusted, those that are over by the clock
// too.
func (s *State) TrustedDevices(user uint64) []TrustedDevice {
	var key [8]byte
	row, ok := s.trusted.Get(nil, idKey2(&key, user))
	if !ok {
		return nil
	}
	list, err := decodeTrusted(row)
	if err != nil {
		violated("a readable row of trusted devices", "user %d: %v", user, err)
	}
	return list
}

func decodeTrusted(row []byte) (list []TrustedDevice, err error) {
	for len(row) > 0 {
		f, rest, ok := field.Next(row)
		if !ok {
			return nil, fmt.Errorf("read trusted devices: %w", errRow)
		}
		row = rest
		var d TrustedDevice
		for b := f.Data; len(b) > 0; {
			f, rest, ok := field.Next(b)
			if !ok {
				return nil, fmt.Errorf("read trusted device: %w", errRow)
			}
			b = rest
			switch f.Num {
			case 1:
				d.ID = string(f.Data)
			case 2:
				copy(d.Hash[:], f.Data)
			case 3:
				d.Label = string(f.Data)
			case 4:
				d.CreatedAt = int64(f.Value)
			case 5:
				d.UsedAt = int64(f.Value)
			case 6:
				d.NotAfter = int64(f.Value)
			case 7:
				d.Source = f.Data
			case 8:
				d.Login = f.Value
			}
		}
		list = append(list, d)
	}
	return list, nil
}

func (s *State) putTrusted(user uint64, list []TrustedDevice) {
	w := &s.work
	w.row = w.row[:0]
	for _, d := range list {
		b := field.AppendBytes(nil, 1, []byte(d.ID))
		b = field.AppendBytes(b, 2, d.Hash[:])
		b = field.AppendBytes(b, 3, []byte(d.Label))
		b = field.AppendNumber(b, 4, uint64(d.CreatedAt))
		b = field.AppendNumber(b, 5, uint64(d.UsedAt))
		b = field.AppendNumber(b, 6, uint64(d.NotAfter))
		b = field.AppendBytes(b, 7, d.Source)
		w.row = appendPart(w.row, 1, field.AppendNumber(b, 8, d.Login))
	}
	key := idKey(&w.key, user)
	if len(list) == 0 {
		s.trusted.Delete(key)
		return
	}
	s.trusted.Put(key, w.row)
}

func (s *State) checkDeviceTrusted(at Stamp, m *event.DeviceTrusted) Result {
	switch {
	case len(m.Hash) != len(SSOHash{}) || m.Id == "":
		return Result{Code: event.CodeConflict, Detail: "a trusted device of " + m.User + " has no id, or no secret"}
	case m.NotAfterUnix <= at.unix():
		return Result{Code: event.CodeConflict, Detail: "trusted device " + m.Id + " of " + m.User + " is over already"}
	}
	return s.activeUser(m.User)
}

// foldDeviceTrusted keeps a device. What is over goes, and where that is not enough, what was used least recently.
func (s *State) foldDeviceTrusted(at Stamp, m *event.DeviceTrusted) {
	id, _ := s.factorsOf(m.User)
	if id == 0 {
		return
	}
	list := slices.DeleteFunc(s.TrustedDevices(id), func(d TrustedDevice) bool { return d.ID == m.Id || d.NotAfter <= at.unix() })
	for limit := int(min(max(m.Limit, 1), MaxTrusted)); len(list) >= limit; {
		least := 0
		for i := range list {
			if max(list[i].UsedAt, list[i].CreatedAt) < max(list[least].UsedAt, list[least].CreatedAt) {
				least = i
			}
		}
		list = slices.Delete(list, least, least+1)
	}
	list = append(list, TrustedDevice{
		ID: m.Id, Hash: SSOHash(m.Hash), Label: m.Label, CreatedAt: at.unix(), NotAfter: m.NotAfterUnix, Source: m.Source, Login: m.Login,
	})
	s.putTrusted(id, list)
}

// useTrusted notes that a device stood for a factor.
func (s *State) useTrusted(at Stamp, user, device string) {
	id, _ := s.factorsOf(user)
	list := s.TrustedDevices(id)
	for i := range list {
		if list[i].ID == device {
			list[i].UsedAt = at.unix()
			s.putTrusted(id, list)
			return
		}
	}
}

func (s *State) checkDeviceDistrusted(m *event.DeviceDistrusted) Result {
	id, _ := s.factorsOf(m.User)
	list := s.TrustedDevices(id)
	if id == 0 || m.Id != "" && !slices.ContainsFunc(list, func(d TrustedDevice) bool { return d.ID == m.Id }) {
		return Result{Code: event.CodeMissing, Detail: fmt.Sprintf("user %s has no trusted device %s", m.User, m.Id)}
	}
	return Result{}
}

func (s *State) foldDeviceDistrusted(m *event.DeviceDistrusted) {
	id, _ := s.factorsOf(m.User)
	s.putTrusted(id, slices.DeleteFunc(s.TrustedDevices(id), func(d TrustedDevice) bool { return m.Id == "" || d.ID == m.Id }))
}

// sweepTrusted forgets devices that were over before a time.
func (s *State) sweepTrusted(before int64) {
	over := func(d TrustedDevice) bool { return d.NotAfter < before }
	for _, key := range expired(s.trusted, func(row []byte) bool {
		list, err := decodeTrusted(row)
		return err == nil && slices.ContainsFunc(list, over)
	}) {
		if row, _, ok := s.trusted.Peek(key); ok {
			if list, err := decodeTrusted(slices.Clone(row)); err == nil {
				s.putTrusted(binary.BigEndian.Uint64(key), slices.DeleteFunc(list, over))
			}
		}
	}
}
