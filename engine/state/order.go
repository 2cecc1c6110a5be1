package state

import (
	"bytes"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// order lists the names of one kind of documents in their order, for pages of any size at any place. It is made when it is first
// asked for; Apply only notes what changed, and whoever lists next merges the notes into a new, immutable list.
type order struct {
	count atomic.Int64

	building sync.Mutex // held by the one that makes a list
	mu       sync.Mutex // guards built and notes
	built    bool
	notes    []note
	list     nameList // guarded by building
}

type note struct {
	name string
	gone bool
}

// maxNotes bounds what is noted for a list that nobody asks for; past it the list is made anew when asked for.
const maxNotes = 1 << 16

// note records that a name came or went.
func (o *order) note(name []byte, gone bool) {
	if gone {
		o.count.Add(-1)
	} else {
		o.count.Add(1)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.built {
		return
	}
	if len(o.notes) >= maxNotes {
		o.built, o.notes = false, nil
		return
	}
	o.notes = append(o.notes, note{name: string(name), gone: gone})
}

// page returns up to limit names behind after. Scan yields all names there are, in any order, and may miss or repeat those that
// come and go while it runs.
func (o *order) page(after string, limit int, scan func(yield func(name []byte))) []string {
	o.building.Lock()
	defer o.building.Unlock()
	o.mu.Lock()
	fresh := !o.built
	o.built = true
	notes := o.notes
	o.notes = nil
	o.mu.Unlock()
	if fresh {
		var names []string
		scan(func(name []byte) { names = append(names, string(name)) })
		slices.Sort(names)
		o.list = nameList{}
		for _, name := range slices.Compact(names) {
			o.list.add([]byte(name))
		}
		o.mu.Lock()
		notes, o.notes = append(notes, o.notes...), nil
		o.mu.Unlock()
	}
	if len(notes) > 0 {
		o.list = o.list.merge(notes)
	}
	return o.list.page(after, limit)
}

// nameList is names in order, packed.
type nameList struct {
	data []byte
	ends []uint32
}

func (l *nameList) at(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = l.ends[i-1]
	}
	return l.data[start:l.ends[i]]
}

func (l *nameList) add(name []byte) {
	l.data = append(l.data, name...)
	l.ends = append(l.ends, uint32(len(l.data)))
}

// merge returns the list with the notes taken into account, of which the last one on a name counts.
func (l *nameList) merge(notes []note) nameList {
	last := make(map[string]bool, len(notes))
	for _, n := range notes {
		last[n.name] = n.gone
	}
	names := slices.Sorted(maps.Keys(last))
	out := nameList{data: make([]byte, 0, len(l.data)+16*len(names)), ends: make([]uint32, 0, len(l.ends)+len(names))}
	i := 0
	for _, name := range names {
		for ; i < len(l.ends) && string(l.at(i)) < name; i++ {
			out.add(l.at(i))
		}
		if i < len(l.ends) && string(l.at(i)) == name {
			i++
		}
		if !last[name] {
			out.add([]byte(name))
		}
	}
	for ; i < len(l.ends); i++ {
		out.add(l.at(i))
	}
	return out
}

func (l *nameList) page(after string, limit int) []string {
	from, target := 0, []byte(after)
	if after != "" {
		end := len(l.ends)
		for from < end {
			mid := int(uint(from+end) >> 1)
			if bytes.Compare(l.at(mid), target) <= 0 {
				from = mid + 1
			} else {
				end = mid
			}
		}
	}
	to := min(len(l.ends), from+max(0, limit))
	names := make([]string, 0, to-from)
	for i := from; i < to; i++ {
		names = append(names, string(l.at(i)))
	}
	return names
}
