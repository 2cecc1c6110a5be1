package worker

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"trine/engine/script"
)

func newScripts(t *testing.T, role string, change func(*Config)) *Scripts {
	t.Helper()
	s, err := NewScripts(configOf(role, change))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

type scripted chan *script.Job

func (s scripted) ScriptDone(j *script.Job) { s <- j }

// scriptOf compiles a script that sees a userName.
func scriptOf(t *testing.T, source string) *script.Script {
	t.Helper()
	s, err := script.NewEnvironment(script.Variable{Name: "userName", Type: script.Text}).Script(source, script.Text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func runScript(t *testing.T, s *Scripts, j *script.Job) *script.Job {
	t.Helper()
	done := make(scripted, 1)
	j.Done = done
	if j.Values == nil {
		j.Values = script.Map{"userName": "alice"}
	}
	if err := s.Submit(j); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
		return j
	case <-time.After(60 * time.Second):
		t.Fatal("the script was never done")
		return nil
	}
}

func TestWorkerRunsScripts(t *testing.T) {
	s := newScripts(t, "sound", nil)
	for range 3 {
		j := runScript(t, s, &script.Job{Script: scriptOf(t, "return userName.toUpperCase()")})
		if j.Err != nil || j.Value.Text() != "ALICE" {
			t.Errorf("%v, %v", j.Value, j.Err)
		}
	}
	if got := s.Stats(); got.Submitted != 3 || got.Done != 3 || got.Starts != 1 || got.Parallel != 1 {
		t.Errorf("%+v", got)
	}
}

// TestNoScriptHarmsTheNext runs what a script can do at its worst. Each is refused with its reason, and the next script runs.
func TestNoScriptHarmsTheNext(t *testing.T) {
	s := newScripts(t, "sound", nil)
	for _, c := range []struct {
		name, source string
		cause        error
		text         string
		timeout      time.Duration
		ends, may    bool // end the child
	}{
		{name: "endless loop", source: "while (true) {}", cause: script.ErrTimeout, text: "took too long"},
		{name: "endless recursion", source: "function f() { return f() + 1 } f()", cause: script.ErrThrown, text: "without end"},
		// Whether memory or time ends first is the machine's to say.
		{name: "much memory at once", source: `new Array(3e7).fill(1); ""`, may: true},
		{name: "much memory bit by bit", source: `var a = "x"; while (true) { a += a }`, may: true},
		{name: "much memory and all the time it takes", source: `new Array(3e7).fill(1); ""`, timeout: time.Minute, cause: script.ErrThrown, text: "memory", ends: true},
		{name: "a long text", source: `"x".repeat(1e9).length; ""`, timeout: time.Minute, cause: script.ErrThrown, text: "memory", ends: true},
		{name: "backtracking regular expression", source: `/^(?=a)(a+)+$/.test("a".repeat(60) + "b") ? "x" : "y"`, cause: script.ErrTimeout, text: "did not end", ends: true},
		{name: "throw", source: "throw 'no'", cause: script.ErrThrown, text: "no"},
		{name: "wrong type", source: "return 1", cause: script.ErrWrongType, text: "a number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			runScript(t, s, &script.Job{Script: scriptOf(t, "userName")})
			before := s.Stats()
			j := runScript(t, s, &script.Job{Script: scriptOf(t, c.source), Timeout: c.timeout})
			var failed *script.Error
			if !errors.As(j.Err, &failed) || c.cause != nil && !errors.Is(j.Err, c.cause) || !strings.Contains(failed.Text, c.text) || j.Value.Texts != nil {
				t.Errorf("%v, %v", j.Value, j.Err)
			}
			if code := script.Code(j.Err); !strings.HasPrefix(code, "script.") {
				t.Errorf("the reason is %s", code)
			}
			next := runScript(t, s, &script.Job{Script: scriptOf(t, "userName"), Timeout: 10 * time.Second})
			if next.Err != nil || next.Value.Text() != "alice" {
				t.Errorf("the next: %v, %v", next.Value, next.Err)
			}
			if after := s.Stats(); !c.may && (after.Starts > before.Starts) != c.ends || after.Retried != 0 {
				t.Errorf("%+v, and before %+v", after, before)
			}
		})
	}
}

func TestChildThatFailsYieldsNoValue(t *testing.T) {
	for _, role := range []string{"dies", "hangs", "lies", "babbles", "confused"} {
		t.Run(role, func(t *testing.T) {
			s := newScripts(t, role, func(c *Config) { c.JobTimeout = 200 * time.Millisecond })
			j := runScript(t, s, &script.Job{Script: scriptOf(t, "userName")})
			if j.Err == nil || j.Value.Texts != nil {
				t.Errorf("%v, %v", j.Value, j.Err)
			}
			if want := script.ErrDeadline; role == "hangs" && !errors.Is(j.Err, want) {
				t.Errorf("a child that got no time: %v", j.Err)
			}
		})
	}
}

func TestScriptsThatAreNotRunSayWhy(t *testing.T) {
	s := newScripts(t, "hangs", func(c *Config) { c.Queue, c.JobTimeout = 1, time.Hour })
	done := make(scripted, 8)
	job := func() *script.Job {
		return &script.Job{Script: scriptOf(t, "userName"), Values: script.Map{}, Done: done}
	}
	if err := s.Submit(job()); err != nil {
		t.Fatal(err)
	}
	for s.Stats().UnderWay == 0 {
		time.Sleep(time.Millisecond)
	}
	late := job()
	late.Deadline = time.Now().Add(time.Millisecond)
	if err := s.Submit(late); err != nil {
		t.Fatal(err)
	}
	if err := s.Submit(job()); !errors.Is(err, script.ErrQueueFull) && len(done) == 0 {
		t.Errorf("beyond the queue: %v", err)
	}
	if j := <-done; j != late || !errors.Is(j.Err, script.ErrDeadline) {
		t.Errorf("past its deadline: %v", j.Err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if j := <-done; !errors.Is(j.Err, script.ErrUnavailable) {
		t.Errorf("under way at the end: %v", j.Err)
	}
	if err := s.Submit(job()); !errors.Is(err, script.ErrUnavailable) {
		t.Errorf("after the end: %v", err)
	}
}

func TestScriptWithTooMuchToHandOverIsRefused(t *testing.T) {
	s := newScripts(t, "sound", nil)
	j := runScript(t, s, &script.Job{Script: scriptOf(t, "userName"), Values: script.Map{"userName": strings.Repeat("x", script.MaxRequest)}})
	if !errors.Is(j.Err, script.ErrThrown) {
		t.Error(j.Err)
	}
	large := strings.Repeat("x", script.MaxRequest/2)
	j = runScript(t, s, &script.Job{Script: scriptOf(t, "'' + userName.length"), Values: script.Map{"userName": large}})
	if j.Err != nil || j.Value.Text() != "524288" {
		t.Errorf("%v, %v", j.Value, j.Err)
	}
}

func TestTimeOfAProcessIsItsOwn(t *testing.T) {
	own, ok := spentBy(os.Getpid())
	if !ok || own <= 0 || own > spent()+time.Second {
		t.Errorf("%v, %v; by itself it is %v", own, ok, spent())
	}
	if _, ok := spentBy(1<<22 - 1); ok {
		t.Error("a process that is not there has a time")
	}
}
