package node

import (
	"context"
	"log/slog"
	"time"

	"trine/engine"
	"trine/engine/credential"
	"trine/engine/document"
	"trine/engine/policy"
)

// decoyEvery is how often the decoy is compared with the user type that it copies.
const decoyEvery = time.Second

// keepDecoy keeps what unknown users seem to have as a password like what users of the default type have, so that the time of a
// refusal does not tell them apart.
func keepDecoy(ctx context.Context, verifier *credential.Verifier, policies *policy.Holder, logger *slog.Logger) {
	tick := time.NewTicker(decoyEvery)
	defer tick.Stop()
	var last *document.UserType
	for {
		if t := policies.Load().UserType(nil); t != nil && t.Spec != nil && t.Spec != last {
			last = t.Spec
			if err := verifier.SetDecoy(engine.KeepOf(t.Spec)); err != nil {
				logger.Warn("unknown users can be told from known ones by time: the decoy's cost is out of bounds", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
