package credential

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"trine/engine/credential/chap"
	"trine/engine/secret"
	"trine/engine/trace"
)

func cheap() Params { return Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1} }

// bench is a hasher that holds its jobs until it is told to do them.
type bench struct {
	mu   sync.Mutex
	jobs []*Job
	full bool
	now  bool // do jobs at once
}

func (b *bench) Submit(j *Job) error {
	b.mu.Lock()
	if b.full {
		b.mu.Unlock()
		return ErrQueueFull
	}
	if !b.now {
		b.jobs = append(b.jobs, j)
		b.mu.Unlock()
		return nil
	}
	b.mu.Unlock()
	hashJob(j)
	return nil
}

func hashJob(j *Job) {
	if len(j.Form) > 0 {
		j.Match, j.Err = FormMatches(j.Form, j.Password)
	} else {
		a, err := HashArgon2id(j.Password, j.Params)
		j.Hash, j.Err = a.Append(nil), err
	}
	j.Done.Hashed(j)
}

// work does all jobs that wait, or fails them.
func (b *bench) work(err error) (done int) {
	b.mu.Lock()
	jobs := b.jobs
	b.jobs = nil
	b.mu.Unlock()
	for _, j := range jobs {
		if err != nil {
			j.Err, j.Match = err, true // a failure counts for more than a match
			j.Done.Hashed(j)
			continue
		}
		hashJob(j)
	}
	return len(jobs)
}

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

// fixture is a verifier with one keyring, a bench and a clock.
type fixture struct {
	*Verifier
	ring  *secret.Keyring
	bench *bench
	clock *clock
}

func newFixture(t testing.TB, change func(*Config)) *fixture {
	t.Helper()
	f := &fixture{ring: secret.NewKeyring(), bench: &bench{}, clock: &clock{time.Unix(1e9, 0)}}
	if err := f.ring.Add(1, secret.NewClusterKey()); err != nil {
		t.Fatal(err)
	}
	c := Config{Keyring: f.ring, Hasher: f.bench, Clock: f.clock.Now, Params: cheap(), CacheSize: 1024}
	if change != nil {
		change(&c)
	}
	var err error
	if f.Verifier, err = New(c); err != nil {
		t.Fatal(err)
	}
	return f
}

// user makes a user's stored password.
func (f *fixture) user(t testing.TB, id uint64, name, password string, keep Keep) *Stored {
	t.Helper()
	set, err := BuildForms(context.Background(), name, []byte(password), keep, cheap(), f.ring, &bench{now: true})
	if err != nil {
		t.Fatal(err)
	}
	return &Stored{ID: id, Name: []byte(name), Version: 1, Argon2id: set.Argon2Id, Keyed: set.Keyed, NT: set.Nt, Clear: set.Clear}
}

// importing makes the stored password of a user whose hash was imported.
func (f *fixture) importing(t testing.TB, id uint64, name, hash string, keep Keep) *Stored {
	t.Helper()
	set, err := ImportForms(name, hash, keep, f.ring)
	if err != nil {
		t.Fatal(err)
	}
	return &Stored{ID: id, Name: []byte(name), Version: 1, Argon2id: set.Argon2Id, Keyed: set.Keyed, NT: set.Nt, Clear: set.Clear, Imported: set.Imported}
}

func pap(password string, user *Stored) *Attempt {
	return &Attempt{Proof: &Proof{Method: PAP, Password: []byte(password)}, User: user, Name: []byte("somebody"), Done: make(outcomes, 1)}
}

// run verifies and has the slow work done.
func (f *fixture) run(t testing.TB, a *Attempt) Outcome {
	t.Helper()
	o := f.Verify(a)
	if o.Status != Pending {
		return o
	}
	f.bench.work(nil)
	select {
	case o := <-a.Done.(outcomes):
		return o
	default:
		t.Fatal("a pending attempt got no outcome")
		return o
	}
}

func all() Keep { return Keep{Argon2id: true, Keyed: true, NT: true, Clear: true} }

func TestPasswordIsProvedByEachFormAlone(t *testing.T) {
	for name, c := range map[string]struct {
		keep Keep
		form Form
	}{
		"argon2id": {Keep{Argon2id: true}, FormArgon2id},
		"keyed":    {Keep{Keyed: true}, FormKeyed},
		"nt":       {Keep{NT: true}, FormNT},
		"clear":    {Keep{Clear: true}, FormClear},
		"all":      {all(), FormClear},
		"two":      {Keep{Argon2id: true, Keyed: true}, FormKeyed},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			u := f.user(t, 1, "Alice", "wönderland", c.keep)
			if o := f.run(t, pap("wönderland", u)); o.Status != Matched || o.Reason != trace.OK || o.Form != c.form {
				t.Errorf("right password: %+v", o)
			}
			for _, bad := range []string{"Wönderland", "wönderlan", "wönderland ", "", "wönderland\x00", "\xff", string(make([]byte, MaxPassword+1))} {
				if o := f.run(t, pap(bad, u)); o.Status != Wrong || o.Reason != trace.PasswordWrong {
					t.Errorf("%.20q: %+v", bad, o)
				}
			}
			other := *u
			other.Name = []byte("bob")
			if o := f.run(t, pap("wönderland", &other)); o.Status == Matched && c.form != FormArgon2id {
				t.Errorf("a form that was moved to another user: %+v", o)
			}
			folded := *u
			folded.Name = []byte("ALICE")
			if o := f.run(t, pap("wönderland", &folded)); o.Status != Matched {
				t.Errorf("the name in another case: %+v", o)
			}
		})
	}
}

func TestVerifiedPasswordIsFastUntilItChanges(t *testing.T) {
	f := newFixture(t, nil)
	u := f.user(t, 7, "alice", "old", DefaultKeep())
	if o := f.run(t, pap("old", u)); o.Form != FormArgon2id || o.Status != Matched {
		t.Fatalf("first login: %+v", o)
	}
	if o := f.Verify(pap("old", u)); o.Status != Matched || o.Form != FormCache {
		t.Errorf("second login: %+v", o)
	}
	if o := f.Verify(pap("new", u)); o.Status != Pending {
		t.Errorf("another password: %+v", o)
	}
	f.bench.work(nil)
	if o := f.Verify(pap("old", u)); o.Status != Matched || o.Form != FormCache {
		t.Errorf("after a wrong one: %+v", o)
	}
	changed := f.user(t, 7, "alice", "new", DefaultKeep())
	changed.Version = 2
	if o := f.run(t, pap("old", changed)); o.Status != Wrong {
		t.Errorf("the old password after the change: %+v", o)
	}
	same := *u
	same.ID = 8
	if o := f.Verify(pap("old", &same)); o.Status != Pending {
		t.Errorf("another user with the same password: %+v", o)
	}
	f.bench.work(nil)
	if s := f.Stats(); s.CacheHits != 2 || s.SlowMatched != 2 || s.SlowWrong != 2 || s.SlowUnderWay != 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestCacheCanBeSwitchedOff(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.CacheSize = -1 })
	u := f.user(t, 7, "alice", "old", DefaultKeep())
	for range 3 {
		if o := f.run(t, pap("old", u)); o.Form != FormArgon2id || o.Status != Matched {
			t.Fatalf("%+v", o)
		}
	}
}

func TestCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	c := newCache(1024)
	hot := tag{1}
	c.put(1, &hot)
	for user := uint64(2); user < 100_000; user++ {
		c.put(user, &tag{byte(user)})
		if !c.has(1, &hot) {
			t.Fatalf("what is used all the time was given up at user %d", user)
		}
	}
	var s Stats
	c.stats(&s)
	if s.CacheEntries != s.CacheSize || s.CacheSize != 1024 || s.CacheEvictions != 99_999-1024 {
		t.Errorf("stats: %+v", s)
	}
	if c.has(1, &tag{2}) || newCache(1).has(0, &tag{}) {
		t.Error("the cache knows what was never put")
	}
}

func TestUnknownUserDoesTheWorkOfAKnownOneInVain(t *testing.T) {
	for name, keep := range map[string]Keep{"argon2id": DefaultKeep(), "keyed": {Keyed: true}, "nt": {NT: true}, "clear": {Clear: true}, "all": all()} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(c *Config) { c.Decoy = keep })
			known := f.user(t, 1, "alice", "right", keep)
			for _, method := range []Method{PAP, CHAP, MSCHAPv1, MSCHAPv2, MSCHAPCPW} {
				proof := prove(t, method, "wrong", "new")
				k := f.run(t, &Attempt{Proof: proof, User: known, Done: make(outcomes, 1)})
				u := f.run(t, &Attempt{Proof: proof, Name: []byte("nobody"), Done: make(outcomes, 1)})
				m := f.run(t, &Attempt{Proof: proof, User: &Stored{ID: 9, Name: []byte("bare")}, Done: make(outcomes, 1)})
				if k.Status != Wrong || u.Status != Wrong || u.Reason != trace.UserUnknown || !u.Decoy || m.Status != Wrong || m.Reason != trace.PasswordMissing {
					t.Errorf("%v: known %+v, unknown %+v, without password %+v", method, k, u, m)
				}
				if k.Form != u.Form || k.Form != m.Form {
					t.Errorf("%v: worked on %v for a known user, %v for an unknown one, %v for one without a password", method, k.Form, u.Form, m.Form)
				}
			}
			if s := f.Stats(); keep == DefaultKeep() && s.SlowStarted != 3 {
				t.Errorf("stats: %+v", s)
			}
		})
	}
}

func TestUnknownUserNeverMatches(t *testing.T) {
	f := newFixture(t, nil)
	a := pap("anything", nil)
	if o := f.Verify(a); o.Status != Pending {
		t.Fatalf("%+v", o)
	}
	f.bench.jobs[0].Match = true // even if the hasher said so
	f.bench.jobs[0].Done.Hashed(f.bench.jobs[0])
	if o := <-a.Done.(outcomes); o.Status != Wrong || o.Reason != trace.UserUnknown {
		t.Errorf("%+v", o)
	}
	if o := f.Verify(pap("anything", nil)); o.Status != Pending {
		t.Errorf("an unknown user came from the cache: %+v", o)
	}
}

func TestEqualAttemptsShareOneJob(t *testing.T) {
	f := newFixture(t, nil)
	u := f.user(t, 1, "alice", "right", DefaultKeep())
	a, b, c := pap("right", u), pap("right", u), pap("wrong", u)
	first, second, third := f.Verify(a), f.Verify(b), f.Verify(c)
	if first.Joined || !second.Joined || third.Joined || second.Status != Pending {
		t.Errorf("%+v %+v %+v", first, second, third)
	}
	x, y := pap("p", nil), pap("p", nil)
	y.Name = []byte("another")
	f.Verify(x)
	if o := f.Verify(y); o.Joined {
		t.Error("two unknown names share a job")
	}
	if n := f.bench.work(nil); n != 4 {
		t.Errorf("%d jobs", n)
	}
	for i, want := range []Status{Matched, Matched, Wrong} {
		if o := <-[]*Attempt{a, b, c}[i].Done.(outcomes); o.Status != want {
			t.Errorf("attempt %d: %+v", i, o)
		}
	}
}

func TestUsersNeverShareAJob(t *testing.T) {
	f := newFixture(t, nil)
	a := pap("right", f.user(t, 1, "alice", "right", DefaultKeep()))
	b := pap("right", f.user(t, 2, "bob", "builder", DefaultKeep()))
	f.Verify(a)
	if o := f.Verify(b); o.Status != Pending || o.Joined {
		t.Errorf("bob joined alice: %+v", o)
	}
	f.bench.work(nil)
	if o := <-b.Done.(outcomes); o.Status != Wrong {
		t.Errorf("bob came in with alice's password: %+v", o)
	}
	if o := <-a.Done.(outcomes); o.Status != Matched {
		t.Errorf("alice: %+v", o)
	}
}

func TestHasherThatFailsNeverLetsOneThrough(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want trace.Reason
	}{
		"died":     {ErrHasherFailed, trace.WorkerFailed},
		"late":     {ErrDeadline, trace.OverloadDeadline},
		"damaged":  {ErrUnreadable, trace.PasswordUnreadable},
		"whatever": {errors.New("?"), trace.WorkerFailed},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			for _, u := range []*Stored{f.user(t, 1, "alice", "right", DefaultKeep()), nil} {
				a := pap("right", u)
				f.Verify(a)
				f.bench.work(c.err)
				if o := <-a.Done.(outcomes); o.Status != Wrong || o.Reason != c.want {
					t.Errorf("%+v", o)
				}
				if o := f.Verify(a); o.Status != Pending {
					t.Errorf("afterwards: %+v", o)
				}
				f.bench.work(c.err)
			}
		})
	}
}

func TestFullQueueIsSaidAtOnce(t *testing.T) {
	f := newFixture(t, nil)
	u := f.user(t, 1, "alice", "right", DefaultKeep())
	f.bench.full = true
	for range 20 { // a refusal is not a failure of the user's
		if o := f.Verify(pap("right", u)); o.Status != Wrong || o.Reason != trace.OverloadQueueFull {
			t.Fatalf("%+v", o)
		}
	}
	f.bench.full = false
	if o := f.run(t, pap("right", u)); o.Status != Matched {
		t.Errorf("%+v", o)
	}
	if s := f.Stats(); s.SlowRefused != 20 || s.SlowUnderWay != 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestAttemptPastItsDeadlineIsNotBegun(t *testing.T) {
	f := newFixture(t, nil)
	a := pap("right", f.user(t, 1, "alice", "right", DefaultKeep()))
	a.Deadline = f.clock.now
	if o := f.Verify(a); o.Reason != trace.OverloadDeadline || len(f.bench.jobs) != 0 {
		t.Errorf("%+v", o)
	}
}

func TestMissingFormIsNamed(t *testing.T) {
	f := newFixture(t, nil)
	u := f.user(t, 1, "alice", "right", Keep{Argon2id: true, Keyed: true})
	for method, want := range map[Method]trace.Reason{
		CHAP: trace.RadiusCHAPSecretNotKept, MSCHAPv1: trace.RadiusMSCHAPHashNotKept,
		MSCHAPv2: trace.RadiusMSCHAPHashNotKept, MSCHAPCPW: trace.RadiusMSCHAPHashNotKept, NoProof: trace.ProofMissing,
	} {
		if o := f.Verify(&Attempt{Proof: prove(t, method, "right", "new"), User: u}); o.Status != Wrong || o.Reason != want {
			t.Errorf("%v: %+v", method, o)
		}
	}
}

func TestUnreadableFormFallsBackToAnother(t *testing.T) {
	f := newFixture(t, nil)
	u := f.user(t, 1, "alice", "right", all())
	u.Clear, u.Keyed = []byte("damaged"), u.Keyed[:10]
	if o := f.run(t, pap("right", u)); o.Status != Matched || o.Form != FormNT {
		t.Errorf("%+v", o)
	}
	u.NT[len(u.NT)-1] ^= 1
	if o := f.run(t, pap("right", u)); o.Status != Matched || o.Form != FormArgon2id {
		t.Errorf("%+v", o)
	}
	u.Argon2id = nil
	if o := f.run(t, pap("right", u)); o.Status != Wrong || o.Reason != trace.PasswordUnreadable || o.Err == nil {
		t.Errorf("%+v", o)
	}
	for _, method := range []Method{CHAP, MSCHAPv2} {
		if o := f.Verify(&Attempt{Proof: prove(t, method, "right", "new"), User: u}); o.Reason != trace.PasswordUnreadable {
			t.Errorf("%v: %+v", method, o)
		}
	}
}

// prove makes the proof that a peer with the password makes.
func prove(t testing.TB, m Method, password, newPassword string) *Proof {
	t.Helper()
	p := &Proof{Method: m, Identifier: 7, HashName: []byte("alice")}
	switch m {
	case NoProof:
		return p
	case PAP:
		p.Password = []byte(password)
		return p
	case CHAP:
		p.Challenge = []byte("0123456789abcdef")
		r := chap.Response(p.Identifier, []byte(password), p.Challenge)
		p.Response = r[:]
		return p
	}
	hash, ok := chap.NTHash([]byte(password))
	if !ok {
		t.Fatal("the password has no NT hash")
	}
	if m == MSCHAPv1 {
		p.Challenge = []byte("01234567")
		r := chap.ChallengeResponse(&hash, (*[8]byte)(p.Challenge))
		p.Response = r[:]
		return p
	}
	p.Challenge, p.PeerChallenge = []byte("0123456789abcdef"), []byte("fedcba9876543210")
	signing := hash
	if m == MSCHAPCPW {
		if signing, ok = chap.NTHash([]byte(newPassword)); !ok {
			t.Fatal("the new password has no NT hash")
		}
		encrypted, err := chap.EncryptNewPassword(&hash, []byte(newPassword))
		if err != nil {
			t.Fatal(err)
		}
		old := chap.EncryptOldHash(&hash, &signing)
		p.EncryptedPassword, p.EncryptedHash = encrypted[:], old[:]
	}
	challenge := chap.ChallengeHash((*[16]byte)(p.PeerChallenge), (*[16]byte)(p.Challenge), p.HashName)
	r := chap.ChallengeResponse(&signing, &challenge)
	p.Response = r[:]
	return p
}

func TestChallengeResponsesProveThePassword(t *testing.T) {
	for name, keep := range map[string]Keep{"nt": {NT: true}, "clear": {Clear: true}, "both": {NT: true, Clear: true}} {
		f := newFixture(t, nil)
		u := f.user(t, 1, "alice", "right", keep)
		for _, m := range []Method{CHAP, MSCHAPv1, MSCHAPv2, MSCHAPCPW} {
			if m == CHAP && !keep.Clear {
				continue
			}
			t.Run(name+" "+m.String(), func(t *testing.T) {
				p := prove(t, m, "right", "nëw")
				if o := f.Verify(&Attempt{Proof: p, User: u}); o.Status != Matched || o.Reason != trace.OK {
					t.Errorf("right: %+v", o)
				}
				if m != CHAP && !p.HasKeys {
					t.Error("there are no keys")
				}
				if (m == MSCHAPv2 || m == MSCHAPCPW) && string(p.AuthenticatorResponse[:2]) != "S=" {
					t.Errorf("authenticator response %q", p.AuthenticatorResponse[:])
				}
				if m == MSCHAPCPW && string(p.NewPassword) != "nëw" {
					t.Errorf("revealed %q", p.Password)
				}
				bad := prove(t, m, "wrong", "nëw")
				if o := f.Verify(&Attempt{Proof: bad, User: u}); o.Status != Wrong || bad.HasKeys || bad.AuthenticatorResponse != [42]byte{} || len(bad.Password) > 0 {
					t.Errorf("wrong: %+v", o)
				}
				p.Response[3] ^= 1
				if o := f.Verify(&Attempt{Proof: p, User: u}); o.Status != Wrong || p.HasKeys {
					t.Errorf("changed response: %+v", o)
				}
				p.Response = p.Response[:len(p.Response)-1]
				if o := f.Verify(&Attempt{Proof: p, User: u}); o.Reason != trace.ProofMalformed {
					t.Errorf("short response: %+v", o)
				}
				p = prove(t, m, "right", "nëw")
				p.Challenge = nil
				if o := f.Verify(&Attempt{Proof: p, User: u}); o.Reason != trace.ProofMalformed {
					t.Errorf("no challenge: %+v", o)
				}
			})
		}
	}
}

func TestPasswordChangeNeedsAllItsParts(t *testing.T) {
	f := newFixture(t, nil)
	u := f.user(t, 1, "alice", "right", Keep{NT: true})
	for name, damage := range map[string]func(*Proof){
		"old hash":     func(p *Proof) { p.EncryptedHash[0] ^= 1 },
		"new password": func(p *Proof) { p.EncryptedPassword[510] ^= 1 },
		"length":       func(p *Proof) { p.EncryptedPassword[514] ^= 0xff },
		"response":     func(p *Proof) { p.Response[0] ^= 1 },
		"cut off":      func(p *Proof) { p.EncryptedPassword = p.EncryptedPassword[:515] },
		"empty":        func(p *Proof) { *p = *prove(t, MSCHAPCPW, "right", "") },
	} {
		p := prove(t, MSCHAPCPW, "right", "new")
		damage(p)
		if o := f.Verify(&Attempt{Proof: p, User: u}); o.Status != Wrong || len(p.Password) > 0 || p.HasKeys {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

func TestFastVerificationsAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random")
	}
	f := newFixture(t, nil)
	cached := f.user(t, 1, "alice", "right", DefaultKeep())
	if o := f.run(t, pap("right", cached)); o.Status != Matched {
		t.Fatalf("%+v", o)
	}
	for name, a := range map[string]*Attempt{
		"PAP from the cache":    pap("right", cached),
		"PAP clear":             pap("right", f.user(t, 2, "Alice", "right", Keep{Clear: true})),
		"PAP keyed":             pap("right", f.user(t, 3, "älice", "right", Keep{Keyed: true})),
		"PAP nt":                pap("right", f.user(t, 4, "alice", "right", Keep{NT: true})),
		"CHAP":                  {Proof: prove(t, CHAP, "right", ""), User: f.user(t, 5, "alice", "right", all())},
		"MS-CHAPv1":             {Proof: prove(t, MSCHAPv1, "right", ""), User: f.user(t, 6, "alice", "right", all())},
		"MS-CHAPv2":             {Proof: prove(t, MSCHAPv2, "right", ""), User: f.user(t, 7, "alice", "right", all())},
		"MS-CHAPv2 of clear":    {Proof: prove(t, MSCHAPv2, "right", ""), User: f.user(t, 8, "alice", "right", Keep{Clear: true})},
		"PAP keyed, all others": pap("right", f.user(t, 9, "alice", "right", Keep{Keyed: true, Argon2id: true, NT: true})),
	} {
		if n := testing.AllocsPerRun(200, func() {
			if o := f.Verify(a); o.Status != Matched {
				t.Fatalf("%s: %+v", name, o)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestVerifierIsSafeForManyLoops(t *testing.T) {
	f := newFixture(t, func(c *Config) {
		c.Hasher = &bench{now: true}
		c.Limits = Limits{UserBurst: 1e6, UserUnderWay: 1e4, SourceBurst: 1e6, SourceUnderWay: 1e4}
	})
	var users []*Stored
	for i := range 8 {
		users = append(users, f.user(t, uint64(i+1), string(rune('a'+i)), "right", DefaultKeep()))
	}
	var loops sync.WaitGroup
	for n := range 4 {
		loops.Go(func() {
			for i := range 100 {
				u, password, want := users[(i+n)%len(users)], "right", Matched
				if i%3 == 0 {
					password, want = "wrong", Wrong
				}
				if i%10 == 9 {
					u, want = nil, Wrong
				}
				a := pap(password, u)
				a.Source = []byte("nas")
				if o, err := f.Await(t.Context(), a); err != nil || o.Status != want {
					t.Errorf("%+v", o)
				}
				if i%20 == 0 {
					if err := f.SetDecoy(all(), cheap()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	loops.Wait()
}
