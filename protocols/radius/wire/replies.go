package wire

import "trine/protocols/md5"

const (
	// replyRoom is how many bytes of replies wait to be completed: 512 for each
	// of a full batch.
	replyRoom = MaxBatch << 9
	// maxSecret is the longest secret under which replies are completed
	// together, in bytes; under longer ones they are completed one by one.
	maxSecret = 256
	// maxHidden is how many values of all replies are hidden together.
	maxHidden = 2 * MaxBatch
	// hideRoom is how many bytes of messages that can take.
	hideRoom = maxHidden * ((maxSecret + AuthenticatorLen + saltLen + 72) &^ 63)
)

// Replies completes replies side by side: hidden values, Message-Authenticators
// and authenticators. Its owner begins a reply with Begin, builds it, and takes
// it in with Add; after Complete all can be sent. It is about 90 kilobytes; a
// loop keeps one.
type Replies struct {
	lanes   md5.Lanes
	replies [MaxBatch]reply
	count   int

	data [replyRoom + MaxPacket + maxSecret + 128]byte // the replies, each with room for the secret and padding behind it
	used int

	values  [maxHidden]hidden // in the order of the replies
	hidden  int               // how many are of replies taken in
	pending int               // and with those of the one under construction

	work     [hideRoom]byte // messages that are no replies
	messages [maxHidden]md5.Message
	waiting  [MaxBatch]*reply // scratch
}

// reply is one that waits.
type reply struct {
	secret    *Secret
	at, size  int
	signature int // offset of the Message-Authenticator's value in it; 0 is none
	whole     bool
}

// hidden is a value that is still to be encrypted.
type hidden struct {
	reply   int // its number
	at, end int // of the text in data, without its salt
	salt    int // bytes in front of the text
}

// NewReplies returns Replies without a reply.
func NewReplies() *Replies { return &Replies{lanes: md5.NewLanes()} }

// Len returns how many replies were added since Reset.
func (r *Replies) Len() int { return r.count }

// Full reports whether there is no room for another reply: complete those that
// there are, send them, and Reset.
func (r *Replies) Full() bool { return r.count == len(r.replies) || r.used >= replyRoom }

// Begin begins a reply with b, as Builder.ReplyTo does. It must not be Full.
// Another Begin before Add drops the reply.
func (r *Replies) Begin(b *Builder, code Code, id uint8, authenticator *[AuthenticatorLen]byte, secret *Secret) {
	b.ReplyTo(r.data[r.used:r.used:r.used+MaxPacket], code, id, authenticator, secret)
	r.pending = r.hidden
	if len(secret.key().raw) <= maxSecret {
		b.later = r
	}
}

// Add takes in the reply that was begun with b, if b has no fault. The Builder
// must be begun anew afterwards.
func (r *Replies) Add(b *Builder) Fault {
	item := reply{secret: b.secret, at: r.used, signature: b.signature, whole: b.later == nil}
	b.later = nil
	p, fault := b.close()
	if fault != OK {
		return fault
	}
	if item.whole {
		b.complete(p)
	}
	item.size = len(p)
	r.used += md5.PaddedLen(len(p) + min(len(b.secret.key().raw), maxSecret))
	r.hidden = r.pending
	r.replies[r.count] = item
	r.count++
	return OK
}

// hide notes that the bytes from start to end of the reply under construction,
// which appendClear made, are to be hidden; false if it cannot be later.
func (r *Replies) hide(h Hiding, start, end int) bool {
	if r.pending == len(r.values) || h != HideUserPassword && h != HideSalted {
		return false
	}
	salt := 0
	if h == HideSalted {
		salt = saltLen
	}
	r.values[r.pending] = hidden{reply: r.count, at: r.used + start + salt, end: r.used + end, salt: salt}
	r.pending++
	return true
}

// Complete completes all replies.
func (r *Replies) Complete() {
	r.encrypt()
	r.sign()
	r.authenticate()
}

// At returns reply i, 0 <= i < Len, after Complete. It is valid until Reset.
func (r *Replies) At(i int) []byte {
	item := &r.replies[i]
	return r.data[item.at : item.at+item.size : item.at+item.size]
}

// Reset makes room for new replies.
func (r *Replies) Reset() {
	for i := range r.replies[:r.count] {
		r.replies[i].secret = nil
	}
	r.count, r.used, r.hidden, r.pending = 0, 0, 0, 0
}

// encrypt hides the values: the first sixteen bytes of all, then the next, whose
// key depends on the ones before (see Secret.stream).
func (r *Replies) encrypt() {
	values := r.values[:r.hidden]
	for done := 0; ; done += 16 {
		n, used := 0, 0
		for i := range values {
			v := &values[i]
			if v.at+done >= v.end {
				continue
			}
			item := &r.replies[v.reply]
			m := r.work[used:]
			size := copy(m, item.secret.key().raw)
			if done == 0 {
				size += copy(m[size:], r.data[item.at+4:item.at+headerLen])
				size += copy(m[size:], r.data[v.at-v.salt:v.at])
			} else {
				size += copy(m[size:], r.data[v.at+done-16:v.at+done])
			}
			r.messages[n] = md5.Message{State: md5.Start(), At: uint32(used), Blocks: md5.Pad(m, size, 0)}
			used += 64 * int(r.messages[n].Blocks)
			n++
		}
		if n == 0 {
			return
		}
		r.lanes.Run(r.work[:], r.messages[:n])
		n = 0
		for i := range values {
			if v := &values[i]; v.at+done < v.end {
				r.messages[n].Mask(r.data[v.at+done : v.at+done+16])
				n++
			}
		}
	}
}

// sign fills in the Message-Authenticators, as Secret.sign does: a reply holds
// the request's authenticator, and zeros where its Message-Authenticator goes.
func (r *Replies) sign() {
	waiting := r.waiting[:0]
	for i := range r.replies[:r.count] {
		if item := &r.replies[i]; item.signature > 0 && !item.whole {
			blocks := md5.Pad(r.data[item.at:], item.size, 64)
			r.messages[len(waiting)] = md5.Message{State: item.secret.key().inner, At: uint32(item.at), Blocks: blocks}
			waiting = append(waiting, item)
		}
	}
	messages := r.messages[:len(waiting)]
	r.lanes.Run(r.data[:], messages)
	for i, item := range waiting {
		outside(&messages[i], r.work[64*i:])
		messages[i] = md5.Message{State: item.secret.key().outer, At: uint32(64 * i), Blocks: 1}
	}
	r.lanes.Run(r.work[:], messages)
	for i, item := range waiting {
		messages[i].Put(r.data[item.at+item.signature:])
	}
}

// authenticate fills in the authenticators, as Secret.digest does.
func (r *Replies) authenticate() {
	waiting := r.waiting[:0]
	for i := range r.replies[:r.count] {
		if item := &r.replies[i]; !item.whole {
			p := r.data[item.at:]
			size := item.size + copy(p[item.size:], item.secret.key().raw)
			r.messages[len(waiting)] = md5.Message{State: md5.Start(), At: uint32(item.at), Blocks: md5.Pad(p, size, 0)}
			waiting = append(waiting, item)
		}
	}
	messages := r.messages[:len(waiting)]
	r.lanes.Run(r.data[:], messages)
	for i, item := range waiting {
		messages[i].Put(r.data[item.at+4:])
		item.whole = true
	}
}
