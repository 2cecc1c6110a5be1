package admin_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"trine/appliance/admin"
	"trine/appliance/admin/admintest"
	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
	"trine/engine/credential"
	"trine/engine/state"
)

// failures are the errors of a log with the problems that they become.
var failures = []struct {
	err    error
	status int
	reason string
}{
	{admin.ErrNoLeader, 503, api.ReasonNoLeader},
	{fmt.Errorf("propose: %w", admin.ErrBusy), 503, api.ReasonBusy},
	{admin.ErrDiskFull, 507, api.ReasonDiskFull},
	{admin.ErrUncertain, 503, api.ReasonUncertain},
}

// refusedFor returns the problem in err, which must be one with that reason.
func refusedFor(t testing.TB, err error, reason string) *api.Problem {
	t.Helper()
	var p *api.Problem
	if !errors.As(err, &p) || p.Reason != reason {
		t.Fatalf("error %v, want a problem with reason %s", err, reason)
	}
	return p
}

func TestApplyTakesEffectBeforeItIsAnswered(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	for i := range 20 {
		p := mustApply(t, c, fmt.Sprintf("kind: ServiceProvider\nname: core\nspec: {type: radius, radius: {sourceIPs: [10.%d.0.0/16], secret: s3cret-s3cret}}\n", i))
		if got := n.Policies.Holder().Load().Index; got < p.Index {
			t.Fatalf("answered with the cache at %d, the change is at %d", got, p.Index)
		}
	}
}

func TestSameDocumentsAppliedTwiceChangeNothing(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	before := n.Views.Digest()
	p := mustApply(t, c, site)
	if p.Pending() || p.Unchanged != 5 || p.Index != 0 {
		t.Errorf("plan %+v", p)
	}
	if n.Views.Digest() != before {
		t.Error("the state has changed")
	}
}

func TestPlanChangesNothing(t *testing.T) {
	n, c := start(t)
	before := n.Views.Digest()
	p, err := c.Plan(t.Context(), files(site))
	if err != nil {
		t.Fatal(err)
	}
	if p.Creates != 5 || p.Applied || n.Views.Digest() != before {
		t.Errorf("plan %+v", p)
	}
}

func TestApplyOfAnotherPlanThanAgreedIsRefused(t *testing.T) {
	_, c := start(t)
	mustApply(t, c, site)
	change := files("kind: Group\nname: staff\nspec: {description: mine}\n")
	p, err := c.Plan(t.Context(), change)
	if err != nil {
		t.Fatal(err)
	}
	mustApply(t, c, "kind: Group\nname: staff\nspec: {description: theirs}\n")
	_, err = c.Apply(t.Context(), change, client.ApplyOptions{Fingerprint: p.Fingerprint})
	refusedFor(t, err, api.ReasonConflict)
	p, err = c.Plan(t.Context(), change)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Apply(t.Context(), change, client.ApplyOptions{Fingerprint: p.Fingerprint}); err != nil {
		t.Errorf("the plan that was agreed to: %v", err)
	}
}

func TestSecretsAreSealedInStateAndLog(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	d, ok := n.Views.Document("ServiceProvider", "core")
	if !ok || strings.Contains(string(d.Spec), "s3cret") || !strings.Contains(string(d.Spec), "sealed:") {
		t.Errorf("stored %s", d.Spec)
	}
	for item, err := range n.Read(t.Context(), admin.EventQuery{}) {
		if err != nil || strings.Contains(string(item.Data), "s3cret") || strings.Contains(string(item.Data), "wonderland") {
			t.Errorf("a clear secret is in the log at %s (%v)", item.Position, err)
		}
	}
}

func TestPasswordThatIsTheStoredOneIsNotSetAgain(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	version := func() uint64 {
		var u state.User
		if !n.Views.UserNamed(&u, "alice") {
			t.Fatal("alice is gone")
		}
		return u.CredentialVersion
	}
	before := version()
	if p := mustApply(t, c, "kind: User\nname: Alice\nspec: {groups: [staff], password: wonderland}\n"); p.Pending() {
		t.Errorf("plan %+v", p)
	}
	if version() != before {
		t.Error("the password was set again")
	}
	p := mustApply(t, c, "kind: User\nname: Alice\nspec: {groups: [staff], password: looking-glass}\n")
	if p.Updates != 1 || p.Documents[0].Result != 1 || version() != before+1 {
		t.Errorf("plan %+v, credential version %d", p.Documents, version())
	}
}

// large returns documents of so many users.
func large(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "---\nkind: User\nname: user%05d\nspec: {firstName: First%d, groups: [staff], attributes: {note: %s}}\n", i, i, strings.Repeat("x", 200))
	}
	return b.String()
}

func TestApplyLargerThanARecordIsWholeOrNothing(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	const users = 3000
	p := mustApply(t, c, large(users))
	if p.Creates != users || n.Views.Count("User") != users+1 {
		t.Fatalf("created %d, there are %d", p.Creates, n.Views.Count("User"))
	}
	if n.Views.Counts().Stages != 0 {
		t.Error("pieces are left behind")
	}
	h, err := c.History(t.Context(), "User", "user01500", false)
	if err != nil || len(h.Revisions) != 1 || h.Revisions[0].Version != 1 {
		t.Errorf("history %+v, %v", h, err)
	}

	list, err := c.Events(t.Context(), client.EventQuery{Stream: "user/USER01500"})
	if err != nil || len(list.Events) != 1 || list.Events[0].Type != "DocumentPut" || !strings.Contains(string(list.Events[0].Body), "First1500") {
		t.Errorf("events of one of them %+v, %v", list, err)
	}

	// The last document of a large apply conflicts: nothing of it takes effect, and it leaves no history.
	before := n.Views.Digest()
	_, err = c.Apply(t.Context(), files(strings.ReplaceAll(large(users), "First", "Other")+"---\nkind: User\nname: x\nspec: {aliases: [alice]}\n"), client.ApplyOptions{})
	refusedFor(t, err, api.ReasonInvalid)
	if n.Views.Digest() != before {
		t.Error("a part took effect")
	}
}

func TestStagedApplyThatIsOvertakenTakesNoEffect(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	overtaken := false
	n.Before = func() {
		if !overtaken {
			overtaken = true // between the plan and the last piece somebody takes one of the names
			mustApply(t, c, "kind: User\nname: user00007\nspec: {firstName: Faster}\n")
		}
	}
	_, err := c.Apply(t.Context(), files(large(3000)), client.ApplyOptions{})
	refusedFor(t, err, api.ReasonConflict)
	if got := n.Views.Count("User"); got != 2 {
		t.Errorf("%d users", got)
	}
	if n.Views.Counts().Stages != 0 {
		t.Error("pieces are left behind")
	}
	if _, err := c.History(t.Context(), "User", "user00008", false); err == nil {
		t.Error("a document that never was has a history")
	}
	if list, err := c.Events(t.Context(), client.EventQuery{Stream: "user/user00008"}); err != nil || len(list.Events) != 0 {
		t.Errorf("what never took effect is shown: %+v, %v", list, err)
	}
}

func TestImportOf100000RowsKeepsItsMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	n, c := start(t)
	mustApply(t, c, site)
	const rows = 100_000
	var b strings.Builder
	b.WriteString("userName,firstName,lastName,mail,groups,attributes.department\n")
	for i := range rows {
		fmt.Fprintf(&b, "user%06d,First,Last,user%06d,staff,d%d\n", i, i, i%50)
	}
	begun := time.Now()
	job, err := c.Import(t.Context(), "User", strings.NewReader(b.String()), client.ImportOptions{Name: "people.csv"})
	if err != nil {
		t.Fatal(err)
	}
	job = await(t, c, job)
	if job.State != api.JobSucceeded || job.Import.Created != rows || job.Import.Bad != 0 || job.Done != rows {
		t.Fatalf("job %+v %+v", job, job.Import)
	}
	if got := n.Views.Count("User"); got != rows+1 {
		t.Errorf("%d users", got)
	}
	if n.Views.Counts().Stages != 0 {
		t.Error("pieces are left behind")
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d rows in %v, %d MiB from the system", rows, time.Since(begun).Round(time.Millisecond), m.Sys>>20)
}

// await waits for a job to end.
func await(t testing.TB, c *client.Client, job *api.Job) *api.Job {
	t.Helper()
	for job.State == api.JobRunning {
		time.Sleep(5 * time.Millisecond)
		var err error
		if job, err = c.Job(t.Context(), job.ID); err != nil {
			t.Fatal(err)
		}
	}
	return job
}

func TestCancelledImportChangesNothing(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	reached, release := make(chan struct{}), make(chan struct{})
	first := true
	n.Before = func() {
		if first {
			first = false
			close(reached)
			<-release
		}
	}
	var b strings.Builder
	b.WriteString("userName,attributes.note\n")
	for i := range 20_000 {
		fmt.Fprintf(&b, "user%06d,%s\n", i, strings.Repeat("x", 100))
	}
	job, err := c.Import(t.Context(), "User", strings.NewReader(b.String()), client.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	<-reached
	if err := c.CancelJob(t.Context(), job.ID); err != nil {
		t.Fatal(err)
	}
	close(release)
	if job = await(t, c, job); job.State != api.JobCancelled {
		t.Errorf("job %+v", job)
	}
	if n.Views.Count("User") != 1 || n.Views.Counts().Stages != 0 {
		t.Errorf("%d users, %d staged rows", n.Views.Count("User"), n.Views.Counts().Stages)
	}
}

func TestPasswordsOfAnImportAreHashedSeveralAtATime(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	var mu sync.Mutex
	together := make(chan struct{})
	under, most := 0, 0
	n.Hashing = func() error {
		mu.Lock()
		under++
		if most = max(most, under); under == admintest.PasswordsAtOnce && most == under {
			select {
			case <-together:
			default:
				close(together)
			}
		}
		mu.Unlock()
		select {
		case <-together: // nobody goes on before as many are at it as may
		case <-time.After(30 * time.Second):
			t.Error("passwords are hashed one after another")
		}
		mu.Lock()
		under--
		mu.Unlock()
		return nil
	}
	var b strings.Builder
	b.WriteString("userName,password\n")
	const rows = 3*admintest.PasswordsAtOnce + 1
	for i := range rows {
		fmt.Fprintf(&b, "user%06d,password of %d\n", i, i)
	}
	job, err := c.Import(t.Context(), "User", strings.NewReader(b.String()), client.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if job = await(t, c, job); job.State != api.JobSucceeded || job.Import.Passwords != rows || job.Import.Created != rows {
		t.Fatalf("job %+v %+v", job, job.Import)
	}
	if most != admintest.PasswordsAtOnce {
		t.Errorf("%d at a time, want %d", most, admintest.PasswordsAtOnce)
	}
	for i := range rows {
		var u state.User
		want := sha256.Sum256(fmt.Appendf(nil, "password of %d", i))
		if !n.Views.UserNamed(&u, fmt.Sprintf("user%06d", i)) || !bytes.Equal(u.Argon2id, want[:]) {
			t.Errorf("user %d has another's password", i)
		}
	}
}

func TestOnePasswordThatCannotBeSetStopsTheWholeImport(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	count := 0
	var mu sync.Mutex
	n.Hashing = func() error {
		mu.Lock()
		defer mu.Unlock()
		if count++; count == 5 {
			return credential.ErrHasherFailed
		}
		return nil
	}
	var b strings.Builder
	b.WriteString("userName,password\n")
	for i := range 20 {
		fmt.Fprintf(&b, "user%06d,x\n", i)
	}
	job, err := c.Import(t.Context(), "User", strings.NewReader(b.String()), client.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if job = await(t, c, job); job.State != api.JobFailed || !strings.Contains(fmt.Sprint(job.Error), "could not be set") {
		t.Errorf("job %+v", job)
	}
	if n.Views.Count("User") != 1 || n.Views.Counts().Stages != 0 {
		t.Errorf("%d users", n.Views.Count("User"))
	}
}

// follow waits until a job has ended.
func follow(t testing.TB, c *client.Client, job *api.Job) *api.Job {
	t.Helper()
	for job.State == api.JobRunning {
		time.Sleep(5 * time.Millisecond)
		var err error
		if job, err = c.Job(t.Context(), job.ID); err != nil {
			t.Fatal(err)
		}
	}
	return job
}

func TestImportedPoliciesAreInForceWhenTheJobHasEnded(t *testing.T) {
	n, c := start(t)
	for i, files := range []struct{ kind, text string }{
		{"AttributeDefinition", "name,radiusID\nmail,Filter-Id\nphone,\n"},
		{"AttributePolicy", "name,condition,attribute,allow\nall,any,mail,\nall,,phone,no\n"},
	} {
		job, err := c.Import(t.Context(), files.kind, strings.NewReader(files.text), client.ImportOptions{Preview: 1})
		if err != nil {
			t.Fatal(err)
		}
		if job = follow(t, c, job); job.State != api.JobSucceeded || job.Import.Created == 0 || job.Import.Index == 0 || len(job.Import.Preview) != 2-i {
			t.Fatalf("%+v %+v", job, job.Import)
		}
		if got := n.Policies.Holder().Load().Index; got < job.Import.Index {
			t.Errorf("%s: ended with the cache at %d, the change is at %d", files.kind, got, job.Import.Index)
		}
	}
}

func TestImportNeedsTheScopeOfItsKind(t *testing.T) {
	n, c := start(t)
	w := wire{t, n.Admin.Handler(), key(t, c, "documents:AttributePolicy").Secret}
	for path, status := range map[string]int{
		"/api/v1/import/AttributePolicy": 202, "/api/v1/import/User": 403, "/api/v1/import/policies": 202, "/api/v1/import/Group": 404, "/api/v1/import/AttributePolicy?comma=%22": 422,
		"/api/v1/import/AttributePolicy?column=x": 422, "/api/v1/import/AttributePolicy?choice=0%3Dskip": 422,
	} {
		if rec := w.do("POST", path, "name,condition\n", "Content-Type", "text/csv"); rec.Code != status {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
	for path, status := range map[string]int{"/api/v1/export/AttributePolicy": 200, "/api/v1/export/AttributeDefinition": 403, "/api/v1/export/Group": 403} {
		if rec := w.do("GET", path, ""); rec.Code != status {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
}
