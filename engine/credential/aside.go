package credential

// assumption is what a verifier takes for granted of every password.
type assumption uint8

const (
	nothingAssumed assumption = iota
	assumedRight
	assumedWrong
)

// Aside returns a verifier for logins that are only tried out: it says what v would say, and leaves no mark on v. What v remembers of
// verified passwords and of failures counts; nothing is added to either. Its own failures are limited like v's, for themselves, so that
// whoever may try out logins cannot guess passwords faster than one who logs in.
func (v *Verifier) Aside() *Verifier {
	a := v.aside()
	a.slow = new(slowPath)
	a.slow.init(a, v.slow.limits)
	a.slow.seed = v.slow.seed // so that keys mean the same in both
	return a
}

// Assuming is Aside without limits, and it looks at no password: it takes each for right, or for wrong. All else is as ever: who has no
// password has none, and a form that a method needs has to be kept and to open. The proof must have the form of its method.
func (v *Verifier) Assuming(right bool) *Verifier {
	a := v.aside()
	if a.assumed = assumedWrong; right {
		a.assumed = assumedRight
	}
	return a
}

func (v *Verifier) aside() *Verifier {
	a := &Verifier{original: v, keyring: v.keyring, hasher: v.hasher, clock: v.clock, boot: v.boot, cache: v.cache, decoy: v.decoy}
	a.scratch.New = newScratch
	return a
}

// matched says whether a password fits a form, by what was found or what is assumed.
func (v *Verifier) matched(ok bool, form Form) Outcome {
	if v.assumed == nothingAssumed {
		return matched(ok, form)
	}
	o := matched(v.assumed == assumedRight, form)
	o.Assumed = true
	return o
}
