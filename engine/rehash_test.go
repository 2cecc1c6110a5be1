package engine

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/state"
	"trine/engine/trace"
)

// keepingAll is a user type that keeps all forms, at little cost.
const keepingAll = `
kind: UserType
name: default
spec: {password: {keep: [argon2id, keyed, nt, clear], argon2: {memoryKiB: 64, iterations: 1}}}
`

// hashes are of the password "wonder länd 1", by mkpasswd, slappasswd and passlib.
var hashes = map[string]string{
	"argon2id": "$argon2id$v=19$m=64,t=1,p=4$KgWgNCYkxNjbe4/xPidkDA$3lTsw8hJh21yETvUWR1V+cC01FyEMp9OMjv08n8wEq0",
	"bcrypt":   "$2y$04$xkueqi6EtAlBVwauA0gt1.mN/eMHBGzZwLM4jy3DpiSWm8BUCHYj6",
	"scrypt":   "$scrypt$ln=8,r=8,p=1$DwEAoJQSYkyJMYaQ0npv7Q$xEyHbcIWHtz19F9XVIf4EoDS+3g2Mze5acQAyH5svBo",
	"PBKDF2":   "$pbkdf2-sha256$1000$iFFqLWUshfA.Z4wRghCidA$lmQRQNGd7qUdkKXPDZI/XPiFHnXbILzlNileP08hjzk",
	"SSHA":     "{SSHA}i6z6qHoVh7UwmjuX48UaTgOQM+fnf7Ru",
	"crypt $6": "{CRYPT}$6$rounds=1000$aHJzrcWJWCMZz5e9$hZ2BDWC9pv/WIC99L242J6Dur4mKev2Xm5je4JZr2Vya21cDAOHWQ5TwM1nuf7ZVlqc3ekZO3gspOtE5rSBYc.",
	"crypt $y": "$y$j75$rtANhd8fCrqoPgIyqvz0O/$aYXIEBMuyDxIXM1FnQFTNabCSeXgJe6/JrJpj2WA/dB",
	"NT":       "{NT}a6273f8b663b6edfbcdc269383b8f5ca",
}

const imported = "wonder länd 1"

// importing is a rig in which Alice's password is imported.
func importing(t *testing.T, hash string, must bool) *rig {
	t.Helper()
	r := newRig(t, nil)
	r.apply(keepingAll)
	r.take("Alice", hash, must)
	r.clock.move(time.Hour)
	return r
}

// take imports a password.
func (r *rig) take(user, hash string, must bool) {
	r.t.Helper()
	keep, _ := KeepOf(r.compiler.Holder().Load().UserType(nil).Spec)
	set, err := credential.ImportForms(user, hash, keep, r.ring)
	if err != nil {
		r.t.Fatal(err)
	}
	set.MustChange = must
	r.propose(set)
}

// rehash re-hashes what waits for it.
func (r *rig) rehash(e *Engine) (n int) {
	for {
		select {
		case item := <-e.rehashes.queue:
			e.rehashes.do(context.Background(), item)
			n++
		default:
			return n
		}
	}
}

func (r *rig) row(name string) *state.User {
	r.t.Helper()
	var u state.User
	if !r.people.UserNamed(&u, name) {
		r.t.Fatalf("there is no user %s", name)
	}
	return &u
}

// sets returns the passwords that were set through the log.
func (r *rig) sets() []*event.PasswordSet {
	r.t.Helper()
	var out []*event.PasswordSet
	for _, f := range r.log.facts(r.t, event.TypePasswordSet) {
		m, err := f.Message()
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, m.(*event.PasswordSet))
	}
	return out
}

func TestImportedPasswordsAreRehashedAtTheFirstGoodLogin(t *testing.T) {
	for name, hash := range hashes {
		t.Run(name, func(t *testing.T) {
			r := importing(t, hash, false)
			before := *r.row("alice")
			r.deny(r.request("alice", "Wonder länd 1"), event.Reject, trace.PasswordWrong)
			if n := r.rehash(r.engine); n != 0 {
				t.Fatal("a wrong password is re-hashed")
			}
			r.engine.config.TraceAccepts = 1
			q := r.request("alice", imported)
			r.accept(q)
			if d := r.recorded(q); d.step(trace.RehashBegun) == nil || !strings.Contains(d.words(), "re-hashed") {
				t.Errorf("trace: %s", d.words())
			}
			if n := r.rehash(r.engine); n != 1 {
				t.Fatalf("%d re-hashed", n)
			}
			u := r.row("alice")
			if len(u.Imported) != 0 || len(u.Argon2id) == 0 || len(u.Keyed) == 0 || len(u.NT) == 0 || len(u.Clear) == 0 {
				t.Fatalf("kept: imported %d, argon2id %d, keyed %d, nt %d, clear %d bytes", len(u.Imported), len(u.Argon2id), len(u.Keyed), len(u.NT), len(u.Clear))
			}
			if u.CredentialVersion != before.CredentialVersion+1 || u.PasswordSetAt != before.PasswordSetAt || u.PasswordSetAt == 0 {
				t.Errorf("version %d after %d, set at %d, before at %d", u.CredentialVersion, before.CredentialVersion, u.PasswordSetAt, before.PasswordSetAt)
			}
			for _, m := range []credential.Method{credential.PAP, credential.CHAP, credential.MSCHAPv2} {
				r.accept(prove(t, r.request("alice", ""), m, imported))
			}
			r.deny(r.request("alice", "another"), event.Reject, trace.PasswordWrong)
			if n := r.rehash(r.engine); n != 0 {
				t.Error("it is re-hashed again")
			}
			sets := r.sets()
			if len(sets) != 1 || sets[0].User != "Alice" || !sets[0].SamePassword || sets[0].By != rehashedBy || len(sets[0].Imported) != 0 {
				t.Errorf("recorded: %v", sets)
			}
			if f := r.log.facts(t, event.TypePasswordSet)[0]; !f.in(event.StreamUser, "alice") || !f.in(event.StreamDocument, "User/alice") {
				t.Error("it is not found under the user's streams")
			}
			if s := r.engine.Stats(); s.Rehashed != 1 || s.RehashesFailed != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestMustChangeOutlivesTheRehash(t *testing.T) {
	r := importing(t, hashes["SSHA"], true)
	r.deny(r.request("alice", imported), event.Reject, trace.PasswordMustChange)
	if n := r.rehash(r.engine); n != 1 {
		t.Fatalf("%d re-hashed", n)
	}
	if u := r.row("alice"); !u.MustChange || len(u.Imported) != 0 {
		t.Errorf("must change: %v", u.MustChange)
	}
}

func TestAnExpiredPasswordIsRehashedAndStaysExpired(t *testing.T) {
	r := newRig(t, nil)
	r.apply(strings.Replace(keepingAll, "{keep:", "{maxAge: 30m, keep:", 1))
	r.take("Alice", hashes["SSHA"], false)
	r.clock.move(time.Hour)
	r.deny(r.request("alice", imported), event.Reject, trace.PasswordExpired)
	if n := r.rehash(r.engine); n != 1 || len(r.row("alice").Imported) != 0 {
		t.Fatalf("%d re-hashed", n)
	}
	r.deny(r.request("alice", imported), event.Reject, trace.PasswordExpired)
}

func TestImportsAndRehashesRememberFormerPasswords(t *testing.T) {
	r := newRig(t, nil)
	r.apply(strings.Replace(keepingAll, "{keep:", "{history: 3, keep:", 1))
	r.password("Alice", "first", credential.Keep{Argon2id: true, History: 3})
	before := len(r.row("alice").Former)
	r.take("Alice", hashes["SSHA"], false) // the first one becomes a former one
	r.accept(r.request("alice", imported))
	r.rehash(r.engine)
	if u := r.row("alice"); len(u.Imported) != 0 || before != 1 || len(u.Former) != 2 {
		t.Errorf("%d former passwords, before the import %d", len(u.Former), before)
	}
}

func TestASecondLoginDoesNotQueueThePasswordAgain(t *testing.T) {
	r := importing(t, hashes["SSHA"], false)
	r.accept(r.request("alice", imported))
	r.accept(r.request("alice", imported))
	if n := len(r.engine.rehashes.queue); n != 1 {
		t.Errorf("%d wait", n)
	}
}

func TestOnlyPeopleWhoMayLogInAreRehashed(t *testing.T) {
	r := importing(t, hashes["SSHA"], false)
	r.apply("{kind: User, name: Alice, spec: {active: false}}")
	r.deny(r.request("alice", imported), event.Reject, trace.UserInactive)
	if n := r.rehash(r.engine); n != 0 {
		t.Errorf("%d re-hashed", n)
	}
}

func TestTheLoginDoesNotWaitForTheRehash(t *testing.T) {
	r := importing(t, hashes["SSHA"], false)
	r.bench.set(func(b *bench) { b.hold = true })
	q := r.request("alice", imported)
	r.accept(q) // has the verification done, and nothing else
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.engine.Rehash(ctx)
	}()
	for r.row("alice").Imported != nil { // the hash is held until it is worked on
		r.bench.work()
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-ended
}

func TestWhatIsChangedMeanwhileCountsForMore(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(r *rig)
		check  func(t *testing.T, r *rig)
	}{
		{"password set", func(r *rig) { r.password("Alice", "changed", credential.Keep{Argon2id: true}) }, func(t *testing.T, r *rig) {
			r.accept(r.request("alice", "changed"))
			r.deny(r.request("alice", imported), event.Reject, trace.PasswordWrong)
		}},
		{"password removed", func(r *rig) { r.propose(&event.PasswordRemoved{User: "Alice"}) }, func(t *testing.T, r *rig) {
			r.deny(r.request("alice", imported), event.Reject, trace.PasswordMissing)
		}},
		{"another hash imported", func(r *rig) { r.take("Alice", "{SHA}Q1tBBo6GZVE6IAcMAzsIucZuQzI=", false) }, func(t *testing.T, r *rig) {
			r.deny(r.request("alice", imported), event.Reject, trace.PasswordWrong)
			r.accept(r.request("alice", "toor"))
		}},
		{"user deleted", func(r *rig) { r.delete("User", "Alice") }, func(t *testing.T, r *rig) {
			r.deny(r.request("alice", imported), event.Reject, trace.UserUnknown)
		}},
		{"user made anew with another password of the same version", func(r *rig) {
			r.delete("User", "Alice")
			r.apply("{kind: User, name: Alice, spec: {}}")
			for r.row("alice").CredentialVersion < 2 {
				r.take("Alice", "{SHA}Q1tBBo6GZVE6IAcMAzsIucZuQzI=", false)
			}
		}, func(t *testing.T, r *rig) {
			r.deny(r.request("alice", imported), event.Reject, trace.PasswordWrong)
			r.accept(r.request("alice", "toor"))
		}},
		{"user's document", func(r *rig) { r.apply("{kind: User, name: Alice, spec: {firstName: Al}}") }, func(t *testing.T, r *rig) {
			r.accept(r.request("alice", imported))
			if n := r.rehash(r.engine); n != 1 || len(r.row("alice").Imported) != 0 {
				t.Errorf("%d re-hashed by the next login", n)
			}
		}},
	} {
		for _, when := range []string{"before it is hashed", "before it is recorded"} {
			t.Run(c.name+" "+when, func(t *testing.T) {
				r := importing(t, hashes["SSHA"], false)
				if v := r.row("alice").CredentialVersion; v != 2 {
					t.Fatalf("version %d", v) // the one after that of newRig
				}
				r.accept(r.request("alice", imported))
				if when == "before it is hashed" {
					c.change(r)
					r.rehash(r.engine)
				} else {
					r.log.set(func(l *memoryLog) { l.hold = true })
					r.rehash(r.engine)
					c.change(r)
					r.log.set(func(l *memoryLog) { l.hold = false })
					r.log.release()
					if sets := r.sets(); len(sets) != 0 {
						t.Errorf("recorded: %v", sets)
					}
				}
				c.check(t, r)
			})
		}
	}
}

func TestNodesThatRehashAtOnceDoItOnce(t *testing.T) {
	r := importing(t, hashes["SSHA"], false)
	other := New(r.engine.config)
	lane := other.NewLane()
	r.log.set(func(l *memoryLog) { l.hold = true })
	q, p := r.request("alice", imported), r.request("ally", imported)
	r.accept(q)
	if !lane.Authenticate(p) || p.Decision.Verdict != event.Accept { // from the cache that both have in this test
		t.Fatalf("%+v", p.Decision)
	}
	if a, b := r.rehash(r.engine), r.rehash(other); a != 1 || b != 1 {
		t.Fatalf("%d and %d re-hashed", a, b)
	}
	r.log.set(func(l *memoryLog) { l.hold = false })
	r.log.release()
	if sets := r.sets(); len(sets) != 1 {
		t.Errorf("recorded %d times", len(sets))
	}
	if a, b := r.engine.Stats(), other.Stats(); a.Rehashed+b.Rehashed != 1 || a.RehashesFailed+b.RehashesFailed != 0 {
		t.Errorf("%+v, %+v", a, b)
	}
	r.accept(prove(t, r.request("alice", ""), credential.CHAP, imported))
}

func TestLanesThatRehashAtOnceDoItOnce(t *testing.T) {
	r := importing(t, hashes["SSHA"], false)
	r.bench.set(func(b *bench) { b.spread = true })
	ctx, cancel := context.WithCancel(context.Background())
	var running, logins sync.WaitGroup
	running.Go(func() { r.engine.Rehash(ctx) })
	for range 4 {
		lane := r.engine.NewLane()
		logins.Go(func() {
			for range 25 {
				q := r.request("alice", imported)
				told := newInbox()
				q.Done = told
				if !lane.Authenticate(q) {
					<-told.told
				}
				if q.Decision.Verdict != event.Accept {
					t.Errorf("%s %s", q.Decision.Verdict, q.Decision.Reason)
				}
			}
		})
	}
	logins.Wait()
	for len(r.row("alice").Imported) > 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	running.Wait()
	if sets := r.sets(); len(sets) != 1 {
		t.Errorf("recorded %d times", len(sets))
	}
	r.engine.rehashes.mu.Lock()
	defer r.engine.rehashes.mu.Unlock()
	if n := len(r.engine.rehashes.users) - len(r.engine.rehashes.queue); n != 0 {
		t.Errorf("%d places are not given back", n)
	}
}

func TestWhatCouldNotBeRehashedIsTriedAgain(t *testing.T) {
	for _, c := range []struct {
		name        string
		fail, mend  func(r *rig)
		failed, put uint64
	}{
		{
			"hasher is full", func(r *rig) { r.bench.set(func(b *bench) { b.refuse = credential.ErrQueueFull }) },
			func(r *rig) { r.bench.set(func(b *bench) { b.refuse = nil }) }, 1, 1,
		},
		{
			"hasher fails", func(r *rig) { r.bench.set(func(b *bench) { b.fail = credential.ErrHasherFailed }) },
			func(r *rig) { r.bench.set(func(b *bench) { b.fail = nil }) }, 1, 1,
		},
		{
			"log refuses", func(r *rig) { r.log.set(func(l *memoryLog) { l.refuse = ErrBusy }) },
			func(r *rig) { r.log.set(func(l *memoryLog) { l.refuse = nil }) }, 1, 1,
		},
		{
			"log loses", func(r *rig) { r.log.set(func(l *memoryLog) { l.lose = ErrUnavailable }) },
			func(r *rig) { r.log.set(func(l *memoryLog) { l.lose = nil }) }, 1, 1,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := importing(t, hashes["SSHA"], false)
			r.accept(r.request("alice", imported))
			c.fail(r)
			if n := r.rehash(r.engine); n != int(c.put) || len(r.row("alice").Imported) == 0 || r.engine.Stats().RehashesFailed != c.failed {
				t.Fatalf("%d tried, %+v", n, r.engine.Stats())
			}
			c.mend(r)
			r.accept(r.request("alice", imported))
			if n := r.rehash(r.engine); n != 1 || len(r.row("alice").Imported) != 0 {
				t.Errorf("%d tried again", n)
			}
		})
	}
}

func TestNothingIsRehashedWithoutALeader(t *testing.T) {
	r := importing(t, hashes["SSHA"], false)
	r.log.set(func(l *memoryLog) { l.leaderless = true })
	r.accept(r.request("alice", imported))
	if n := r.rehash(r.engine); n != 0 {
		t.Errorf("%d re-hashed", n)
	}
}

func TestNoMoreAreRehashedThanThereIsRoomFor(t *testing.T) {
	r := importing(t, hashes["SSHA"], false)
	for id := range uint64(maxRehashes) {
		r.engine.rehashes.enter(1000 + id)
	}
	r.engine.config.TraceAccepts = 1
	q := r.request("alice", imported)
	r.accept(q)
	if d := r.recorded(q); d.step(trace.RehashPutOff) == nil {
		t.Errorf("trace: %s", d.words())
	}
	r.engine.rehashes.leave(1000)
	r.accept(r.request("alice", imported))
	if n := r.rehash(r.engine); n != 1 {
		t.Errorf("%d re-hashed", n)
	}
}

func TestAnImportedNTHashServesMSCHAPAtOnce(t *testing.T) {
	r := importing(t, hashes["NT"], false)
	r.accept(prove(t, r.request("alice", ""), credential.MSCHAPv2, imported))
	if n := r.rehash(r.engine); n != 0 {
		t.Error("re-hashed without the password")
	}
	if d := r.deny(prove(t, r.request("alice", ""), credential.CHAP, imported), event.Reject, trace.PasswordImported); d.step(trace.FormToCome) == nil {
		t.Errorf("trace: %s", d.words())
	}
	r.accept(r.request("alice", imported))
	if n := r.rehash(r.engine); n != 1 {
		t.Errorf("%d re-hashed", n)
	}
	r.accept(prove(t, r.request("alice", ""), credential.CHAP, imported))
}

func TestAFormThatTheUserTypeDoesNotKeepIsNotPromised(t *testing.T) {
	r := newRig(t, nil)
	r.apply("{kind: UserType, name: default, spec: {password: {keep: [argon2id, nt]}}}")
	r.take("Alice", hashes["SSHA"], false)
	r.deny(prove(t, r.request("alice", ""), credential.CHAP, imported), event.Reject, trace.RadiusCHAPSecretNotKept)
	r.deny(prove(t, r.request("alice", ""), credential.MSCHAPv2, imported), event.Reject, trace.PasswordImported)
}

func TestAPasswordWithoutAnNTHashIsKeptInTheOtherForms(t *testing.T) {
	r := importing(t, "{SHA}heUyceFABvAmWSHQLU1zbNxYCws=", false) // of the byte ff
	r.accept(r.request("alice", "\xff"))
	if n := r.rehash(r.engine); n != 1 {
		t.Fatalf("%d re-hashed", n)
	}
	if u := r.row("alice"); len(u.Imported) != 0 || len(u.NT) != 0 || len(u.Clear) == 0 || len(u.Argon2id) == 0 {
		t.Errorf("%d bytes imported, %d nt", len(u.Imported), len(u.NT))
	}
}

func TestASimulatedLoginRehashesNothing(t *testing.T) {
	r := importing(t, hashes["SSHA"], false)
	s := r.engine.Simulate(Circumstances{Verifier: r.verifier.Assuming(true)})
	q := r.request("alice", "anything")
	if !s.NewLane().Authenticate(q) || q.Decision.Verdict != event.Accept {
		t.Fatalf("%+v", q.Decision)
	}
	if a, b := r.rehash(r.engine), r.rehash(s.Engine); a != 0 || b != 0 {
		t.Errorf("%d and %d re-hashed", a, b)
	}
}
