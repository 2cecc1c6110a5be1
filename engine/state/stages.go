package state

import (
	"encoding/binary"
	"fmt"
	"slices"

	"trine/engine/event"
	"trine/engine/event/field"
	"trine/engine/state/rows"
)

const (
	// maxPieces is how many pieces a staged proposal may have.
	maxPieces = 1 << 16
	// stageLife is how long a stage may lie about after its last piece, in seconds, before a sweep drops it.
	stageLife = 3600
)

// stageHead is the row of a stage; its key is the stage's id. Pieces have the id and their number as keys.
type stageHead struct {
	pieces uint64 // how many there are
	end    uint64 // one past the highest piece
	at     int64  // unix seconds of the last piece, by record time
}

func (h *stageHead) append(dst []byte) []byte {
	dst = field.AppendNumber(dst, 1, h.pieces)
	dst = field.AppendNumber(dst, 2, h.end)
	return field.AppendNumber(dst, 3, uint64(h.at))
}

func (h *stageHead) decode(b []byte) error {
	*h = stageHead{}
	for len(b) > 0 {
		f, rest, ok := field.Next(b)
		if !ok {
			return fmt.Errorf("read stage row: %w", errRow)
		}
		b = rest
		switch f.Num {
		case 1:
			h.pieces = f.Value
		case 2:
			h.end = f.Value
		case 3:
			h.at = int64(f.Value)
		}
	}
	return nil
}

// StagedPieces returns how many pieces of a staged proposal there are; 0 if it is unknown.
func (s *State) StagedPieces(stage uint64) int {
	var key [8]byte
	var h stageHead
	row, ok := s.stages.Get(nil, idKey2(&key, stage))
	if !ok || h.decode(row) != nil {
		return 0
	}
	return int(h.pieces)
}

func (s *State) stageHead(id uint64) (h stageHead, ok bool) {
	row, _, ok := s.stages.Peek(idKey(&s.work.key, id))
	if !ok {
		return h, false
	}
	if err := h.decode(row); err != nil {
		violated("a readable stage row", "%x: %v", id, err)
	}
	return h, true
}

func pieceKey(dst *[]byte, id uint64, piece uint32) []byte {
	*dst = binary.BigEndian.AppendUint32(idKey(dst, id), piece)
	return *dst
}

// foldStaged keeps a piece. A repeated piece replaces the one before.
func (s *State) foldStaged(at Stamp, id uint64, piece uint32, body []byte) {
	w := &s.work
	h, _ := s.stageHead(id)
	if _, created := s.stages.Put(pieceKey(&w.key, id, piece), body); created {
		h.pieces++
	}
	h.end = max(h.end, uint64(piece)+1)
	h.at = at.unix()
	s.stages.Put(idKey(&w.key, id), h.append(nil))
}

// collectStage adds the parts of a stage's pieces to the work. They stay in the memory of the rows, which dropStage leaves as it is.
func (s *State) collectStage(at Stamp, e *event.Envelope) Result {
	m := read[*event.StageCommitted](e, at)
	h, ok := s.stageHead(m.Stage)
	if !ok {
		return Result{Code: event.CodeStage, Detail: "stage " + event.FormatID(m.Stage) + " is unknown"}
	}
	if h.pieces != uint64(m.Pieces) || h.end != h.pieces {
		return Result{Code: event.CodeStage, Detail: fmt.Sprintf("stage %s has %d of %d pieces", event.FormatID(m.Stage), h.pieces, m.Pieces)}
	}
	for piece := range m.Pieces {
		body, _, ok := s.stages.Peek(pieceKey(&s.work.key, m.Stage, piece))
		if !ok {
			violated("every piece of a complete stage", "piece %d missing", piece)
		}
		v, err := event.ParseStaged(body)
		if err != nil {
			unreadable("staged piece", at, err)
		}
		for part, data, more := v.Next(); more; part, data, more = v.Next() {
			if r := s.collect(at, part, data, true); r.Code != 0 {
				return r
			}
		}
	}
	return Result{}
}

// dropStage forgets a stage and its pieces.
func (s *State) dropStage(id uint64) {
	h, ok := s.stageHead(id)
	if !ok {
		return
	}
	for piece := range h.end {
		s.stages.Delete(pieceKey(&s.work.key, id, uint32(piece)))
	}
	s.stages.Delete(idKey(&s.work.key, id))
}

// oldStages returns the stages whose last piece came before a time, in order.
func (s *State) oldStages(before int64) (ids []uint64) {
	s.stages.Scan(0, func(_ rows.Ref, key, row []byte) bool {
		var h stageHead
		if len(key) == 8 && h.decode(row) == nil && h.at < before {
			ids = append(ids, binary.BigEndian.Uint64(key))
		}
		return true
	})
	slices.Sort(ids)
	return ids
}
