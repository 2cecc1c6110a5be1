package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nwaples/tacplus"

	"trine/appliance/admin/client"
)

// tacacsLoad has devices, each with one connection, send the records of several sessions at a time (start, three watchdogs that update it, stop) until stop is closed. A
// record is sent again, the same bytes, until it is answered SUCCESS.
func tacacsLoad(t *testing.T, to string, devices, sessions int, stop <-chan struct{}) (*acknowledged, *sync.WaitGroup) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-stop
		cancel()
	}()
	acked := &acknowledged{records: map[record]bool{}}
	var wait sync.WaitGroup
	for d := range devices {
		p := newPlus(t, to, true)
		for line := range sessions {
			wait.Go(func() {
				for s := 0; ; s++ {
					task := fmt.Sprintf("%d-%d-%d", d, line, s)
					for step, status := range []string{"start", "interim", "interim", "interim", "stop"} {
						flags := map[string]uint8{"start": tacplus.AcctFlagStart, "interim": tacplus.AcctFlagWatchdog | tacplus.AcctFlagStart, "stop": tacplus.AcctFlagStop}[status]
						for p.account(ctx, flags, "alice", "task_id="+task, "service=shell", fmt.Sprintf("elapsed_time=%d", step*60)) != nil {
							select {
							case <-stop:
								return // nobody knows whether the node has it
							case <-time.After(10 * time.Millisecond):
							}
						}
						acked.add(record{task, status, uint32(step * 60)})
						time.Sleep(time.Millisecond) // so that whoever reads the log keeps up
					}
				}
			})
		}
	}
	return acked, &wait
}

func TestNothingAnsweredSuccessIsLostByKill(t *testing.T) {
	rounds := kills / 2
	if testing.Short() {
		rounds = shortKills
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	data := t.TempDir()
	node := startProcess(t, data, nil)
	stop := make(chan struct{})
	acked, devices := tacacsLoad(t, node.addresses.Tacacs[0], 4, 4, stop)
	book := ledger{records: map[record]int{}}
	for range rounds {
		time.Sleep(time.Duration(50+random.IntN(350)) * time.Millisecond)
		node.kill()
		known := acked.snapshot() // all of it was acknowledged by nodes that are dead now
		node = startProcess(t, data, &node.addresses)
		c, err := client.New(client.Options{Data: data})
		if err != nil {
			t.Fatal(err)
		}
		book.read(t, c)
		c.Close()
		book.check(t, known, 0)
		if t.Failed() {
			break
		}
	}
	close(stop)
	devices.Wait()
	known := acked.snapshot()
	t.Logf("%d kills, %d records answered SUCCESS", rounds, len(known))
	if len(known) < 10*rounds {
		t.Errorf("only %d records were answered over %d rounds: the load does not load", len(known), rounds)
	}
	node.quit(t)
	replayed(t, data)
}
