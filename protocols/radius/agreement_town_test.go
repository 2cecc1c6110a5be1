package radius

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"trine/engine"
	"trine/engine/credential"
	"trine/engine/credential/otp"
	"trine/engine/credential/pin"
	"trine/engine/credential/recovery"
	"trine/engine/event"
	factors "trine/engine/login"
	"trine/engine/message"
	"trine/engine/script"
	"trine/engine/state"
)

// town is a house with a random configuration, random people and devices, and the model of it.
type town struct {
	*house
	*rand.Rand
	model
	sim      *Simulator
	aside    *credential.Verifier
	post     *post
	recorded *event.Decided // the last decision in the log, read back
	record   []byte         // its bytes
	sessions int
}

const roleCount = 4

func roleName(n int) string { return fmt.Sprintf("r%d@net", n) }

func (w *town) one(n int) bool { return w.IntN(n) == 0 }

func pick[T any](w *town, of ...T) T { return of[w.IntN(len(of))] }

// some returns up to n numbers below the limit, each once.
func (w *town) some(n, limit int) []int { return w.Perm(limit)[:w.IntN(min(n, limit)+1)] }

func newTown(t *testing.T, seed uint64) *town {
	w := &town{Rand: rand.New(rand.NewPCG(seed, 7)), post: &post{codes: map[string]string{}}}
	cheap := credential.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}
	var verifier *credential.Verifier
	w.house = newHouse(t, func(c *engine.Config) {
		var err error
		if verifier, err = credential.New(credential.Config{Keyring: c.Keyring, Hasher: hasher{}, Clock: c.Clock, CacheSize: 1024, Params: cheap}); err != nil {
			t.Fatal(err)
		}
		c.Verifier, c.TraceAccepts, c.Messenger, c.Scripts = verifier, pick(w, 1, 1, 1, 3), w.post, scripts{script.NewHost()}
	})
	w.Verifier, w.aside = verifier, verifier.Aside()
	w.sim = NewSimulator(standard(t), "test", w.h.keys)
	w.watch(w.readBack)
	w.Put(w.configuration())
	for _, p := range w.persons {
		w.enrol(p, cheap)
	}
	return w
}

// hasher hashes and compares at once, on the caller's goroutine.
type hasher struct{}

// Submit implements credential.Hasher.
func (hasher) Submit(j *credential.Job) error {
	if len(j.Form) > 0 {
		j.Match, j.Err = credential.FormMatches(j.Form, j.Password)
	} else {
		a, err := credential.HashArgon2id(j.Password, j.Params)
		j.Hash, j.Err = a.Append(nil), err
	}
	j.Done.Hashed(j)
	return nil
}

// scripts runs scripts at once, in this process.
type scripts struct{ host *script.Host }

// Submit implements script.Runner.
func (s scripts) Submit(j *script.Job) error {
	request, err := j.Encode()
	if err != nil {
		j.Err = err
	} else {
		j.Settle(s.host.Run(request, func() time.Duration { return 0 }))
	}
	j.Done.ScriptDone(j)
	return nil
}

// post delivers codes, but not always.
type post struct {
	codes map[string]string // the last one, by user
	err   error
}

// Check implements message.Messenger.
func (p *post) Check(*message.Message) error { return p.err }

// Submit implements message.Messenger.
func (p *post) Submit(m *message.Message) error {
	if p.err == nil {
		p.codes[m.User] = m.Values.Code
		m.Done.Delivered(m)
	}
	return p.err
}

// readBack takes the decisions out of what is proposed, as they stand in the log from then on.
func (w *town) readBack(proposal []byte) {
	for rest := proposal; len(rest) > 0; {
		part, data, next, err := event.NextPart(rest)
		if err != nil {
			w.t.Fatal(err)
		}
		if rest = next; part != event.PartEvent {
			continue
		}
		e, err := event.ParseEvent(data)
		if err != nil {
			w.t.Fatal(err)
		}
		if e.Type == event.TypeDecided {
			m, err := e.Message()
			if err != nil {
				w.t.Fatal(err)
			}
			w.recorded, w.record = m.(*event.Decided), bytes.Clone(data)
		}
	}
}

// configuration writes the documents of the world, and its model.
func (w *town) configuration() string {
	var b strings.Builder
	doc := func(format string, args ...any) { fmt.Fprintf(&b, "---\n"+format+"\n", args...) }
	doc("{kind: InformationSystem, name: net}")
	doc("{kind: EntityGroup, name: campus}")
	for i := range roleCount {
		doc("{kind: Role, name: %s, spec: {reply: [%s]}}", roleName(i), w.reply())
	}
	for i := range 6 {
		w.groups = append(w.groups, group{parent: -1})
		b.WriteString(w.groupDocument(i))
	}
	keep := pick(w, "keyed, nt, clear", "argon2id", "argon2id, keyed, clear")
	doc("{kind: UserType, name: default, spec: {password: {keep: [%s]%s}}}", keep, pick(w, "", ", lockout: {attempts: 2, total: 2, window: 10m, duration: 5m}", ", lockout: {attempts: 2, total: 4, window: 10m, duration: 5m}", ", lockout: {attempts: 3, window: 1m, duration: 1m, progressive: true}"))
	doc("{kind: UserType, name: guests, spec: {password: {keep: [keyed, nt, clear], maxAge: 240h}, sessions: {limit: %d}}}", 1+w.IntN(2))
	for i, source := range []string{
		"radiusID: Filter-Id", "radiusID: Reply-Message, source: groups", "radiusID: Callback-Id, source: roles",
		"radiusID: Framed-Route, expression: " + pick(w, "userName.upper()", `'attributes.values("a0").map(v, v + "!")'`, `'attributes.values("a0")[1]'`, "userName", "userName"),
		"radiusID: Callback-Number, script: '" + pick(w, "return userName.toUpperCase()", `return attributes{"a0"}`, `throw "no"`, "return {}", "return userName", "return userName") + "'", "radiusID: Tunnel-Type",
	} {
		doc("{kind: AttributeDefinition, name: a%d, spec: {%s}}", i, source)
	}
	for i := range 4 {
		var list []string
		for _, a := range w.some(2, 6) {
			list = append(list, fmt.Sprintf("{attribute: a%d%s}", a, pick(w, "", "", ", allow: false", ", condition: {principalName: u1}")))
		}
		if len(list) > 0 {
			doc("{kind: AttributePolicy, name: p%d, spec: {condition: %s, attributes: [%s]}}", i, w.condition(1, false), strings.Join(list, ", "))
		}
	}
	w.issuers(doc)
	for i := range 4 {
		w.provider(doc, i)
	}
	for i := range 4 {
		d := device{mac: fmt.Sprintf("02-00-00-00-00-%02d", i), group: w.IntN(len(w.groups)+1) - 1}
		extra := ""
		if d.group >= 0 {
			extra = fmt.Sprintf("group: g%d, ", d.group)
		}
		if w.one(3) {
			d.until = w.port.now.Add(time.Duration(w.IntN(6)) * time.Hour).Truncate(time.Second)
			extra += fmt.Sprintf("notAfter: %q, ", d.until.UTC().Format(time.RFC3339))
		}
		w.devices = append(w.devices, d)
		doc("{kind: Endpoint, name: %s, spec: {%sattributes: {a0: x}}}", d.mac, extra)
	}
	for i := range 5 {
		p := &person{name: fmt.Sprintf("u%d", i), alias: fmt.Sprintf("a%d", i), password: fmt.Sprintf("word-of-%d-%d", i, w.IntN(1000)), account: pick(w, "", "enabled", "disabled")}
		w.persons = append(w.persons, p)
		b.WriteString(w.personDocument(p))
		if p.account != "" {
			doc("{kind: Account, name: x%d@net, spec: {owner: %s, enabled: %v}}", i, p.name, p.account == "enabled")
		}
	}
	return strings.TrimPrefix(b.String(), "---\n")
}

func (w *town) reply() string {
	return pick(w, "Session-Timeout = 1", "Filter-Id = x", "Framed-MTU = 1400", "Idle-Timeout += 4", "Class = own", "Tunnel-Type:1 = VLAN")
}

// grants gives a few roles, some of which are over, are to come, or end while the world lasts.
func (w *town) grants() (list []grant, text string) {
	var texts []string
	for _, role := range w.some(2, roleCount) {
		g := grant{role: role}
		valid := ""
		if w.one(3) {
			g.from = w.port.now.Add(time.Duration(w.IntN(48)-24) * time.Hour).Truncate(time.Second)
			valid += fmt.Sprintf(", notBefore: %q", g.from.UTC().Format(time.RFC3339))
		}
		if w.one(3) {
			g.until = w.port.now.Add(time.Duration(25+w.IntN(48)-24) * time.Hour).Truncate(time.Second)
			if !g.from.IsZero() && !g.until.After(g.from) {
				g.until = g.from.Add(time.Hour)
			}
			valid += fmt.Sprintf(", notAfter: %q", g.until.UTC().Format(time.RFC3339))
		}
		list, texts = append(list, g), append(texts, fmt.Sprintf("{role: %s%s}", roleName(role), valid))
	}
	return list, strings.Join(texts, ", ")
}

// groupDocument makes a group anew, below one with a lower number or none.
func (w *town) groupDocument(i int) string {
	g := &w.groups[i]
	var roles string
	g.roles, roles = w.grants()
	parent, limit, reply := "", "", w.reply()
	if g.parent = -1; i > 0 && !w.one(3) {
		g.parent = w.IntN(i)
		parent = fmt.Sprintf(", parent: g%d", g.parent)
	}
	if w.one(6) {
		limit = fmt.Sprintf(", sessions: {limit: %d}", 1+w.IntN(3))
	}
	if w.one(60) {
		reply = "No-Such = 1"
	}
	return fmt.Sprintf("---\n{kind: Group, name: g%d, spec: {reply: [%s], roles: [%s]%s%s}}\n", i, reply, roles, parent, limit)
}

// personDocument makes a person anew, but for the name, the password and what is enrolled.
func (w *town) personDocument(p *person) string {
	p.active, p.kind, p.mobile = !w.one(20), pick(w, "", "", "guests"), pick(w, "", "+34600000001", "+34600000001")
	p.groups = w.some(3, len(w.groups))
	var roles string
	p.roles, roles = w.grants()
	var extra strings.Builder
	var names []string
	for i, g := range p.groups {
		if i == 0 {
			fmt.Fprintf(&extra, ", primaryGroup: g%d", g)
		}
		names = append(names, fmt.Sprintf("g%d", g))
	}
	if p.kind != "" {
		fmt.Fprintf(&extra, ", userType: %s", p.kind)
	}
	if p.mobile != "" {
		fmt.Fprintf(&extra, ", mobile: %q", p.mobile)
	}
	a0 := pick(w, "x", "x, y", "y, x, z")
	if w.one(10) {
		a0 = strings.Repeat(strings.Repeat("y", 90)+", ", 48) + "x"
	}
	return fmt.Sprintf("---\n{kind: User, name: %s, spec: {active: %v, aliases: [%s], mail: %s, mailDomain: example.org, groups: [%s], roles: [%s], attributes: {a0: [%s], a5: %s}%s}}\n",
		p.name, p.active, p.alias, p.name, strings.Join(names, ", "), roles, a0, pick(w, `"13"`, `"13"`, `"13"`, "odd"), extra.String())
}

// condition makes a condition of a sharing policy, or of an authorization policy.
func (w *town) condition(depth int, authorizes bool) string {
	if depth > 0 && w.one(3) {
		a, b := w.condition(depth-1, authorizes), w.condition(depth-1, authorizes)
		return pick(w, "{and: ["+a+", "+b+"]}", "{or: ["+a+", "+b+"]}", "{not: "+a+"}")
	}
	if authorizes && !w.one(3) {
		return pick(w, "{ssid: guest}", "{ssid: {regex: 'corp.*'}}", "{group: g0}", "{group: g3}", "{role: "+roleName(w.IntN(roleCount))+"}", "{userType: guests}",
			"{requestAttribute: {attribute: NAS-Port-Type, value: Virtual}}", "{requestAttribute: {attribute: NAS-Identifier, regex: 'ap[0-4]'}}",
			`{time: {from: "08:00", until: "18:00", zone: Europe/Madrid}}`, "{deviceLabel: {name: site, value: north}}", "{endpointGroup: g1}")
	}
	if w.one(8) {
		return pick(w, "{expression: 'roles.size() > 1'}", `{expression: '"x" in attributes["a0"]'}`, `{script: 'return userName != "u2"'}`, `{script: 'return attributes{"a0"} == null'}`, `{expression: 'attributes["a7"].size() > 0'}`)
	}
	return pick(w, "any", "any", "{principalName: u1}", "{principalName: {regex: 'u[0-4]'}}", "{authenticationMethod: P}", "{attributeRequester: sp0}", "{attributeIssuer: home}",
		"{attributeRequesterInGroup: campus}", "{attributeValue: {attribute: a0, value: x}}", "{attributeValue: {attribute: a1, value: g2}}", "{attributeValue: {attribute: a3, regex: 'U[0-3]'}}", "{attributeValue: {attribute: a4, value: y}}")
}

func (w *town) ways() []string {
	return pick(w, []string{"Password"}, []string{"Password"}, []string{"Password"}, []string{"Password"}, []string{"Password+OTP"}, []string{"Password+OTP", "Password+SMS"}, []string{"Password+PIN"}, []string{"Password+SMS"}, []string{"Password+Email", "Password+OTP"})
}

func matrix(ways []string) string {
	var list []string
	for _, way := range ways {
		list = append(list, "{first: "+strings.Replace(way, "+", ", second: ", 1)+"}")
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// issuers makes the identity provider that decides, and a virtual one below it.
func (w *town) issuers(doc func(string, ...any)) {
	for i, name := range []string{"local", "virtual"} {
		m := &w.issuer[i]
		*m = issuer{enabled: !w.one(60), methods: [5]bool{credential.PAP: !w.one(20), credential.CHAP: !w.one(20), credential.MSCHAPv1: !w.one(20), credential.MSCHAPv2: !w.one(20)}, ways: w.ways()}
		var rules, access []string
		for range w.IntN(3) {
			m.rules++
			ways := w.ways()
			if w.one(6) {
				ways = nil
			}
			condition := pick(w, "newDevice", "hour < 12", "failuresForSameUser >= 2", "failuresForSameIp >= 3", "hasOtp && !hasHotp", "hasSms", "hasPin || hasMail", "daysSinceLastLogon > 1", `ipAddress == "192.0.2.12"`,
				`serviceProvider == "sp1"`, "secondsSinceLastFail >= 0 && secondsSinceLastFail < 60", "failuresRatio > 0.5", "1 / (minute % 7) >= 0", `user == "u3"`, `remoteHost.startsWith("02-")`)
			language := "expression: '" + condition + "'"
			if w.one(3) {
				language = "script: 'return " + pick(w, condition, condition, condition, condition, condition, condition, condition, "null", "nowhere") + "'"
			}
			rules = append(rules, fmt.Sprintf("{description: rule %d, matrix: %s, %s}", m.rules, matrix(ways), language))
		}
		if w.one(8) {
			m.groups = w.some(2, len(w.groups))
			var names []string
			for _, g := range m.groups {
				names = append(names, fmt.Sprintf("g%d", g))
			}
			access = append(access, "groups: ["+strings.Join(names, ", ")+"]")
		}
		if m.roleBased = w.one(8); m.roleBased {
			access = append(access, "roleBased: true")
		}
		if m.guests = w.one(12); m.guests {
			access = append(access, "userTypes: [guests]")
		}
		parent := ""
		if i > 0 {
			parent = "parent: local, "
		}
		limits := ""
		if len(access) > 0 {
			limits = "access: {" + strings.Join(access, ", ") + "}, "
		}
		doc("{kind: IdentityProvider, name: %s, spec: {type: local, publicID: %s, %s%sauthentication: {matrix: %s, adaptiveRules: [%s]}, profiles: {radius: {enabled: %v, pap: %v, chap: %v, mschapv1: %v, mschapv2: %v}}}}",
			name, pick(w, "home", "house")+name, parent, limits, matrix(m.ways), strings.Join(rules, ", "), m.enabled, m.methods[credential.PAP], m.methods[credential.CHAP], m.methods[credential.MSCHAPv1], m.methods[credential.MSCHAPv2])
	}
}

func (w *town) provider(doc func(string, ...any), i int) {
	p := &provider{address: netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + i)}), realms: map[string]bool{}, second: pick(w, "challenge", "challenge", "appended", "either", "none"), devices: !w.one(4)}
	w.clients = append(w.clients, p)
	var realms, roles, rules []string
	for range w.IntN(3) {
		name, strip := pick(w, "example.org", "CORP", "*"), !w.one(4)
		if _, twice := p.realms[strings.ToLower(name)]; !twice {
			p.realms[strings.ToLower(name)] = strip
			realms = append(realms, fmt.Sprintf("{name: %q, strip: %v}", name, strip))
		}
	}
	if w.one(3) {
		for _, r := range w.some(2, roleCount) {
			p.roles, roles = append(p.roles, r), append(roles, roleName(r))
		}
	}
	for j := range w.IntN(4) {
		does := pick(w, ", reject: true", "", ", reply: ["+w.reply()+"]", "")
		p.rejects = p.rejects || strings.Contains(does, "reject")
		rules = append(rules, fmt.Sprintf("{name: rule %d, condition: %s%s}", j, w.condition(1, true), does))
	}
	extra := ""
	if p.system = w.one(5); p.system {
		extra += "requiredSystem: net, "
	}
	if p.issuer = w.IntN(2); p.issuer == 1 {
		extra += "identityProvider: virtual, "
	}
	extra += pick(w, "", "", "", "uidExpression: userName.upper(), ", `uidExpression: 'attributes.first("a9").orElse("")', `, `uidScript: 'return "s-" + userName', `)
	doc("{kind: ServiceProvider, name: sp%d, spec: {type: radius, publicID: sp%d, %slabels: {site: %s}, audit: %s, requiredRoles: [%s], authorizationPolicy: [%s], "+
		"radius: {sourceIPs: [%s], secret: testing123, rejectDelay: 0s, realms: [%s], reply: [%s], secondFactor: %s, macAuthentication: %v, chargeableUserIdentity: %v}}}",
		i, i, extra, pick(w, "north", "[north, hall]", "south"), pick(w, "after", "before-answer"), strings.Join(roles, ", "), strings.Join(rules, ", "),
		p.address, strings.Join(realms, ", "), w.reply(), p.second, p.devices, w.one(2))
}

// enrol gives a person a password and further factors.
func (w *town) enrol(p *person, cost credential.Params) {
	var messages []proto.Message
	if !w.one(16) {
		keep := credential.Keep{Argon2id: w.one(2), Keyed: w.one(3), NT: !w.one(4), Clear: !w.one(4)}
		if keep == (credential.Keep{}) {
			keep.Argon2id = true
		}
		set, err := credential.BuildForms(context.Background(), p.name, []byte(p.password), keep, cost, w.Keys, hasher{})
		if err != nil {
			w.t.Fatal(err)
		}
		p.mustChange = w.one(20)
		set.MustChange = p.mustChange
		messages = append(messages, set)
	}
	must := func(b []byte, err error) []byte {
		if err != nil {
			w.t.Fatal(err)
		}
		return b
	}
	if !w.one(4) {
		params := otp.DefaultParams()
		if w.one(3) {
			params.Kind, params.Period = otp.HOTP, 0
		}
		s, err := otp.New(params)
		if err != nil {
			w.t.Fatal(err)
		}
		p.otp = &s
		messages = append(messages, &event.FactorPut{User: p.name, Id: "token", Kind: uint32(factors.OTP), Data: must(factors.SealOTP(w.Keys, p.name, "token", &s))})
	}
	if w.one(3) {
		codes, kept, err := recovery.New(8, w.Keys, factors.FactorContext(nil, p.name, "codes"))
		if err != nil {
			w.t.Fatal(err)
		}
		p.recovery = codes
		messages = append(messages, &event.FactorPut{User: p.name, Id: "codes", Kind: state.RecoveryCodes, Data: kept})
	}
	if !w.one(4) {
		p.pin = "739152"
		messages = append(messages, &event.FactorPut{User: p.name, Id: "pin", Kind: uint32(factors.PIN), Data: must(pin.DefaultPolicy().Keep([]byte(p.pin), w.Keys, factors.FactorContext(nil, p.name, "pin")))})
	}
	for _, m := range messages {
		w.commitOne(m)
	}
}

func (w *town) commitOne(m proto.Message) {
	var b event.Builder
	if err := b.Add(event.TypeOf(m), event.ClassIdentity, nil, m); err != nil {
		w.t.Fatal(err)
	}
	if r := w.Commit(b.Bytes()); r.Code != 0 {
		w.t.Fatalf("void: %s", r.Detail)
	}
}
