package raftstore

import (
	"context"
	"time"
)

const (
	keepInterval = 10 * time.Second
	diskInterval = 500 * time.Millisecond
)

// keepLoop looks after free space and retention.
func (s *Store) keepLoop() {
	space, retention := diskInterval, keepInterval
	if s.cfg.keep > 0 {
		space, retention = s.cfg.keep, s.cfg.keep
	}
	spaceTick, retentionTick := time.NewTicker(space), time.NewTicker(retention)
	defer spaceTick.Stop()
	defer retentionTick.Stop()
	for {
		select {
		case <-spaceTick.C:
			s.keepSpace()
		case <-retentionTick.C:
			if s.IsLeader() {
				s.keepRetention()
			}
		case <-s.closed:
			return
		}
	}
}

func (s *Store) keepSpace() {
	before := s.disk.levelNow()
	changed, err := s.disk.look()
	if err != nil {
		s.cfg.Logger.Error("free space is not known", "error", err)
		return
	}
	level, free := s.disk.levelNow(), s.disk.free.Load()
	if changed {
		switch {
		case level == levelRefuse:
			s.cfg.Logger.Error("too little free disk space: records are refused", "free", free)
			s.giveUpLead()
		case level == levelNoSeal:
			s.cfg.Logger.Error("little free disk space: no seals are made", "free", free)
		case level == levelWarn:
			s.cfg.Logger.Warn("free disk space is getting short", "free", free)
		case before > 0:
			s.cfg.Logger.Info("there is enough free disk space again", "free", free)
		}
		s.batcher.nudge()
	}
	if level == 0 {
		if err := s.disk.load(); err != nil {
			s.cfg.Logger.Warn("no ballast", "error", err)
		}
	}
}

// epochChange is an epoch to begin or to remove.
type epochChange struct {
	kind   kind
	class  Class
	number uint32
}

// keepRetention proposes the epochs to begin and to remove. They become records, so that all nodes cut alike.
func (s *Store) keepRetention() {
	ctx, cancel := context.WithTimeout(context.Background(), leaderWait)
	defer cancel()
	for _, c := range s.dueEpochs(s.cfg.Clock().UnixNano()) {
		if _, _, err := s.proposeKind(ctx, c.kind, encodeEpochRecord(c.class, c.number)); err != nil {
			s.cfg.Logger.Warn("an epoch of history is not begun or removed yet", "error", err)
			return
		}
		s.stats.epochs.Add(1)
	}
}

// begun returns when an epoch of a class that has facts began. For the first epoch, which nothing began, that is the time of the
// oldest fact; now if that cannot be read, which readers are told.
func (s *Store) begun(class Class, e epochRange, now int64) int64 {
	if e.since != 0 {
		return e.since
	}
	for item, err := range s.Read(context.Background(), Query{Classes: []Class{class}}) {
		if err == nil {
			return item.Time.UnixNano()
		}
	}
	return now
}

func (s *Store) dueEpochs(now int64) []epochChange {
	epochs := *s.fold.shared.Load()
	sizes := map[Class]map[uint32]int64{}
	for _, c := range s.history.Counts() {
		if sizes[Class(c.Class)] == nil {
			sizes[Class(c.Class)] = map[uint32]int64{}
		}
		sizes[Class(c.Class)][c.Epoch] = int64(c.Bytes)
	}
	var due []epochChange
	for class := range MaxClass + 1 {
		list, size := epochs.class(class), sizes[class]
		current := list[len(list)-1]
		limit := s.cfg.Retention[class]
		full := size[current.number] >= s.cfg.epochBytes(class)
		age := s.cfg.epochAge(class)
		if full || age > 0 && size[current.number] > 0 && now-s.begun(class, current, now) >= int64(age) {
			due = append(due, epochChange{kindCut, class, current.number + 1})
		}
		// What is removed already keeps its files until the next seal; it is not in the list, and does not count.
		total := int64(0)
		for _, e := range list {
			total += size[e.number]
		}
		// The oldest go first, and the current one never does.
		for i := 0; i+1 < len(list); i++ {
			ended := list[i+1].since
			old := limit.Age > 0 && now-ended > int64(limit.Age)
			large := limit.Bytes > 0 && total > limit.Bytes
			if !old && !large {
				break
			}
			due = append(due, epochChange{kindRemove, class, list[i].number})
			total -= size[list[i].number]
		}
	}
	return due
}
