package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"trine/bench/robust/network"
)

// possible is what a run has for faults.
type possible struct {
	nodes    int
	disks    bool
	upgraded string // a binary of a later release; empty: none
}

// fault is something that is done to the cluster, and healed.
type fault struct {
	name   string
	what   string // for the list of faults
	weight int    // how often it is drawn; 0: only if it is asked for
	nodes  int    // that it takes at least
	disk   bool   // it takes disks of the nodes' own
	run    func(ctx context.Context, r *run, s step, victim *node) error
}

func (f *fault) impossible(p possible) string {
	switch {
	case p.nodes < f.nodes:
		return fmt.Sprintf("takes %d nodes", f.nodes)
	case f.disk && !p.disks:
		return "takes disks of the nodes' own: root, mkfs.ext4, losetup"
	case f.name == "upgrade" && p.upgraded == "":
		return "takes a second binary (-upgrade)"
	}
	return ""
}

// several is the least number of nodes of which one can fail.
const several = 3

// faults are all that can be done. An order that changes changes the schedules of all seeds.
var faults = []*fault{
	{"kill", "SIGKILL, and a new start", 3, 1, false, killed},
	{"pause", "SIGSTOP and SIGCONT", 2, 1, false, paused},
	{"isolate", "no packet between one node and the others", 3, several, false, isolated},
	{"one-way", "one direction between one node and the others is cut", 2, several, false, oneWay},
	{"split", "no packet between two of the nodes", 2, several, false, split},
	{"delay", "packets of one node come late and in another order", 1, several, false, delayed},
	{"loss", "packets of one node are lost", 1, several, false, lossy},
	{"full", "a full disk", 2, 1, true, full},
	{"power", "a power cut: what was not synced is lost", 3, 1, true, powerCut},
	{"torn", "SIGKILL, and half a record at the end of the log", 1, 1, false, torn},
	{"flip", "one flipped bit in a file of a stopped node", 2, 1, false, flipped},
	{"clock", "a clock that jumps, and jumps back", 2, 1, false, clockJump},
	{"replace", "a node's disk is lost, an empty node takes its place", 2, several, false, replaced},
	{"rolling", "every node is stopped in order and started, one after the other", 1, 1, false, rolling},
	{"upgrade", "the same, with a later release", 1, several, false, upgrade},
	{"majority", "most nodes are killed: nothing is acknowledged, logins go on", 1, several, false, majority},
}

// back starts a node again and waits until the cluster is whole.
func back(ctx context.Context, r *run, n *node) error {
	if err := n.start(ctx); err != nil {
		return err
	}
	return r.cluster.converge(ctx, catchUpWithin)
}

func killed(ctx context.Context, r *run, s step, victim *node) error {
	victim.kill()
	// Half of them come back at once, as a service manager has it.
	if s.draw%2 == 0 {
		r.rest(ctx, s.lasts)
	}
	return back(ctx, r, victim)
}

func paused(ctx context.Context, r *run, s step, victim *node) error {
	victim.disturbed()
	victim.signal(syscall.SIGSTOP)
	r.rest(ctx, s.lasts)
	victim.signal(syscall.SIGCONT)
	victim.undisturbed()
	return r.cluster.converge(ctx, catchUpWithin)
}

// between sets the links between a node and the others: those from it, and those to it.
func (r *run) between(n *node, from, to network.Link) {
	for _, other := range r.cluster.nodes {
		if other != n {
			r.cluster.network.Set(n.host.Address(), other.host.Address(), from)
			r.cluster.network.Set(other.host.Address(), n.host.Address(), to)
		}
	}
}

func (r *run) healed(ctx context.Context) error {
	r.cluster.network.Heal()
	return r.cluster.converge(ctx, catchUpWithin)
}

func isolated(ctx context.Context, r *run, s step, victim *node) error {
	r.between(victim, network.Link{Cut: true}, network.Link{Cut: true})
	r.rest(ctx, s.lasts)
	return r.healed(ctx)
}

func oneWay(ctx context.Context, r *run, s step, victim *node) error {
	if s.draw%2 == 0 {
		r.between(victim, network.Link{Cut: true}, network.Link{})
	} else {
		r.between(victim, network.Link{}, network.Link{Cut: true})
	}
	r.rest(ctx, s.lasts)
	return r.healed(ctx)
}

func split(ctx context.Context, r *run, s step, victim *node) error {
	i := slices.Index(r.cluster.nodes, victim)
	other := r.cluster.nodes[(i+1+s.random().IntN(len(r.cluster.nodes)-1))%len(r.cluster.nodes)]
	for _, pair := range [][2]*node{{victim, other}, {other, victim}} {
		r.cluster.network.Set(pair[0].host.Address(), pair[1].host.Address(), network.Link{Cut: true})
	}
	r.rest(ctx, s.lasts)
	return r.healed(ctx)
}

func delayed(ctx context.Context, r *run, s step, victim *node) error {
	l := network.Link{Delay: time.Duration(1+s.random().IntN(60)) * time.Millisecond, Vary: time.Duration(1+s.random().IntN(20)) * time.Millisecond}
	r.between(victim, l, l)
	r.rest(ctx, s.lasts)
	return r.healed(ctx)
}

func lossy(ctx context.Context, r *run, s step, victim *node) error {
	l := network.Link{Loss: 0.02 + 0.3*s.random().Float64()}
	r.between(victim, l, l)
	r.rest(ctx, s.lasts)
	return r.healed(ctx)
}

func full(ctx context.Context, r *run, s step, victim *node) error {
	free := int64(minimumFree) / 2
	if s.draw%2 == 0 {
		free = 0
	}
	if err := victim.disk.Fill(free); err != nil {
		return err
	}
	r.rest(ctx, s.lasts)
	if err := victim.disk.Free(); err != nil {
		return err
	}
	return r.cluster.converge(ctx, catchUpWithin)
}

func powerCut(ctx context.Context, r *run, s step, victim *node) error {
	if s.draw%2 == 0 { // soon after a seal, when the log was cut and all rests on what the seal wrote
		was, err := victim.status(ctx)
		for deadline := time.Now().Add(s.lasts); err == nil && time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
			now, e := victim.status(ctx)
			if err = e; err == nil && now.Log.SealIndex > was.Log.SealIndex {
				break
			}
		}
	}
	victim.kill()
	if err := victim.disk.Cut(); err != nil {
		return err
	}
	return back(ctx, r, victim)
}

const (
	// frame is the kind of a frame in a segment of the log that holds an entry; the entry's length stands in the last four of its eight bytes, and
	// again at the entry's begin.
	frame = 1
	// sector is what a disk writes whole or not at all, in bytes.
	sector = 512
)

func torn(ctx context.Context, r *run, s step, victim *node) error {
	victim.kill()
	segments, err := filepath.Glob(filepath.Join(victim.data(), "log", "wal", "*.wal"))
	if err != nil || len(segments) == 0 {
		return fmt.Errorf("%s has no segment of the log in %s", victim, victim.data())
	}
	slices.Sort(segments)
	name := segments[len(segments)-1]
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read the log's last segment: %w", err)
	}
	end := len(text)
	for end > 0 && text[end-1] == 0 {
		end--
	}
	end = (end + 7) &^ 7
	random := s.random()
	// An entry of some sectors whose first ones were written, and the others not.
	length := (4 + random.IntN(12)) * sector
	half := binary.LittleEndian.AppendUint32([]byte{frame, 0, 0, 0}, uint32(length))
	half = binary.LittleEndian.AppendUint32(half, uint32(length))
	for written := sector - end%sector + sector*random.IntN(2); len(half) < written; {
		half = append(half, byte(1+random.IntN(255)))
	}
	if end+length+8 > len(text) {
		return back(ctx, r, victim) // the segment is full to its end
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open the log's last segment: %w", err)
	}
	_, err = f.WriteAt(half, int64(end))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("tear the log's last segment: %w", err)
	}
	r.say("%s: %d bytes of half a record at %d of %s", victim, len(half), end, filepath.Base(name))
	return back(ctx, r, victim)
}

// bit is one bit of a file.
type bit struct {
	file  string
	at    int64
	mask  byte
	found byte // what the byte was
}

// String says where it is.
func (b bit) String() string {
	return fmt.Sprintf("bit %d of byte %d of %s/%s", b.mask, b.at, filepath.Base(filepath.Dir(b.file)), filepath.Base(b.file))
}

// right puts the bit right again, where the byte is still what flip made of it.
func (b bit) right() error {
	f, err := os.OpenFile(b.file, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // what replaced the file was written anew
	}
	if err != nil {
		return fmt.Errorf("put a bit right: %w", err)
	}
	defer f.Close()
	var one [1]byte
	if _, err := f.ReadAt(one[:], b.at); err != nil || one[0] != b.found^b.mask {
		return nil // it was written over, or cut off
	}
	_, err = f.WriteAt([]byte{b.found}, b.at)
	if err = errors.Join(err, f.Sync()); err != nil {
		return fmt.Errorf("put a bit of %s right: %w", b.file, err)
	}
	return nil
}

// flip changes the bit.
func (b bit) flip() error {
	f, err := os.OpenFile(b.file, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("flip a bit: %w", err)
	}
	defer f.Close()
	var one [1]byte
	if _, err := f.ReadAt(one[:], b.at); err != nil {
		return fmt.Errorf("flip a bit of %s: %w", b.file, err)
	}
	one[0] ^= b.mask
	// It is on disk: a power cut neither mends nor repeats it.
	_, err = f.WriteAt(one[:], b.at)
	if err = errors.Join(err, f.Sync()); err != nil {
		return fmt.Errorf("flip a bit of %s: %w", b.file, err)
	}
	return nil
}

// anyBit chooses a bit: any file with as much chance, and in it any of what was written, more or less: segments and tables of the
// log are made larger than what is in them.
func anyBit(data string, random *rand.Rand) (bit, error) {
	var files []string
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "BALLAST" || d.Name() == "addresses.json" {
			return err
		}
		if info, err := d.Info(); err == nil && info.Size() > 0 {
			files = append(files, path)
		}
		return nil
	})
	if err != nil || len(files) == 0 {
		return bit{}, fmt.Errorf("list the files of %s: %w", data, err)
	}
	file := files[random.IntN(len(files))]
	text, err := os.ReadFile(file)
	if err != nil {
		return bit{}, fmt.Errorf("choose a bit: %w", err)
	}
	used := len(text)
	for used > 1 && text[used-1] == 0 {
		used--
	}
	at := random.IntN(used)
	return bit{file, int64(at), 1 << random.IntN(8), text[at]}, nil
}

func flipped(ctx context.Context, r *run, s step, victim *node) error {
	if s.draw%2 == 0 {
		victim.kill()
	} else if err := victim.stop(); err != nil {
		return err
	}
	b, err := anyBit(victim.data(), s.random())
	if err != nil {
		return err
	}
	if err := b.flip(); err != nil {
		return err
	}
	victim.brittle(true)
	defer victim.brittle(false)
	err = victim.start(ctx)
	var no *refused
	switch {
	case err == nil && victim.survives(ctx, 500*time.Millisecond):
		r.say("%s serves with %s flipped", victim, b)
		victim.damaged = append(victim.damaged, b)
		if len(r.cluster.nodes) < several {
			return r.cluster.converge(ctx, catchUpWithin)
		}
		if err := r.cluster.converge(ctx, catchUpWithin); err == nil {
			return nil
		}
		r.say("%s does not come back to the others and is replaced", victim)
	case err == nil:
		r.say("%s ended over %s", victim, b)
	case errors.As(err, &no):
		r.say("%s refuses %s", victim, b)
	default:
		return fmt.Errorf("with %s flipped: %w", b, err)
	}
	if len(r.cluster.nodes) >= several {
		return replaced(ctx, r, s, victim)
	}
	// There is no other copy. What is refused is left as it is: the bit put right, the node must go on as if nothing had been.
	victim.kill()
	if err := b.right(); err != nil {
		return err
	}
	if err := back(ctx, r, victim); err != nil {
		return fmt.Errorf("after %s was flipped, refused and put right: %w", b, err)
	}
	return nil
}

// jumps are by how much a clock is set off. Over the last two, places that were held end, so that those histories are not looked at any more.
var jumps = []time.Duration{20 * time.Second, -20 * time.Second, 40 * time.Second, -40 * time.Second, -time.Hour, -1000 * time.Hour, time.Hour, 48 * time.Hour}

// farthest is the longest jump over which no place ends: they are held for two minutes.
const farthest = time.Minute

func clockJump(ctx context.Context, r *run, s step, victim *node) error {
	by := jumps[s.random().IntN(len(jumps))]
	if by > farthest {
		r.placesEnd = true
	}
	r.say("the clock of %s is off by %v", victim, by)
	victim.moveClock(by)
	r.rest(ctx, s.lasts)
	victim.moveClock(0)
	return r.cluster.converge(ctx, catchUpWithin)
}

// replaced removes a node from the cluster and lets an empty one join in its place.
func replaced(ctx context.Context, r *run, s step, victim *node) error {
	victim.kill()
	var helper *node
	for _, n := range r.cluster.nodes {
		if n != victim && n.running() {
			helper = n
		}
	}
	if helper == nil {
		return errors.New("no node is left to replace another with")
	}
	if _, err := helper.insist(ctx, "cluster", "remove", victim.member()); err != nil {
		// The first try may have taken effect without an answer, and the second then finds nobody.
		if there, e := helper.has(ctx, victim.member()); e != nil || there {
			return errors.Join(err, e)
		}
	}
	if err := os.RemoveAll(victim.data()); err != nil {
		return fmt.Errorf("empty a node: %w", err)
	}
	victim.emptied.Add(1)
	victim.damaged = nil
	if err := r.cluster.join(ctx, victim, helper); err != nil {
		return err
	}
	return r.cluster.converge(ctx, catchUpWithin)
}

func rolling(ctx context.Context, r *run, s step, _ *node) error {
	for _, n := range r.cluster.nodes {
		if err := n.stop(); err != nil {
			return err
		}
		if err := back(ctx, r, n); err != nil {
			return err
		}
	}
	return nil
}

func upgrade(ctx context.Context, r *run, s step, victim *node) error {
	for _, n := range r.cluster.nodes {
		n.binary = r.possible.upgraded
	}
	return rolling(ctx, r, s, victim)
}

func majority(ctx context.Context, r *run, s step, victim *node) error {
	order := append([]*node{victim}, slices.DeleteFunc(slices.Clone(r.cluster.nodes), func(n *node) bool { return n == victim })...)
	down := order[:len(order)/2+1]
	for _, n := range down {
		n.kill()
	}
	from := time.Now()
	r.rest(ctx, s.lasts)
	r.dark = append(r.dark, span{from, time.Now()})
	for _, n := range down {
		if err := n.launch(); err != nil {
			return err
		}
	}
	for _, n := range down {
		if err := n.serving(ctx); err != nil {
			return err
		}
	}
	return r.cluster.converge(ctx, catchUpWithin)
}
