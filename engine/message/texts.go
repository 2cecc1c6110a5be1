package message

// Text is what one kind of message says in one language by one channel. Subject and Body are templates over Values.
type Text struct {
	Channel  Channel
	Kind     Kind
	Language string
	Subject  string // of mail
	Body     string
}

// Texts returns the built-in texts. A text message is short enough to travel in one piece with a service's name of usual length, and no
// subject shows a code: subjects stand in logs and on locked screens.
func Texts() []Text {
	return []Text{
		{
			Mail, Code, "en", "Your code{{if .Service}} for {{.Service}}{{end}}",
			`{{if .Name}}Hello {{.Name}},

{{end}}your code{{if .Service}} for {{.Service}}{{end}} is

    {{.Code}}

It can be used once, within {{if eq .Minutes 1}}one minute{{else}}{{.Minutes}} minutes{{end}}.

If you are not logging in right now, somebody else may know your password. Do not
pass the code on, and change your password.
`,
		},
		{
			Mail, Code, "de", "Ihr Code{{if .Service}} für {{.Service}}{{end}}",
			`Guten Tag{{if .Name}} {{.Name}}{{end}},

Ihr Code{{if .Service}} für {{.Service}}{{end}} lautet

    {{.Code}}

Er kann einmal verwendet werden, innerhalb von {{if eq .Minutes 1}}einer Minute{{else}}{{.Minutes}} Minuten{{end}}.

Wenn Sie sich gerade nicht anmelden, kennt vielleicht jemand anderes Ihr Passwort.
Geben Sie den Code nicht weiter, und ändern Sie Ihr Passwort.
`,
		},
		{
			SMS, Code, "en", "",
			"{{.Code}} is your code{{if .Service}} for {{.Service}}{{end}}, good for {{if eq .Minutes 1}}one minute{{else}}{{.Minutes}} minutes{{end}}. Do not pass it on.",
		},
		{
			SMS, Code, "de", "",
			"{{.Code}} ist Ihr Code{{if .Service}} für {{.Service}}{{end}}, gültig {{if eq .Minutes 1}}eine Minute{{else}}{{.Minutes}} Minuten{{end}}. Bitte nicht weitergeben.",
		},

		{
			Mail, NewDevice, "en", "Login from a new device",
			`{{if .Name}}Hello {{.Name}},

{{end}}somebody logged in with your account{{if .Service}} at {{.Service}}{{end}} from a device that was not used before{{if .Detail}}:

    {{.Detail}}{{else}}.{{end}}

If that was you, there is nothing to do. Otherwise change your password.
`,
		},
		{
			Mail, NewDevice, "de", "Anmeldung von einem neuen Gerät",
			`Guten Tag{{if .Name}} {{.Name}}{{end}},

mit Ihrem Konto hat sich jemand{{if .Service}} bei {{.Service}}{{end}} von einem Gerät angemeldet, das bisher nicht verwendet wurde{{if .Detail}}:

    {{.Detail}}{{else}}.{{end}}

Wenn Sie das waren, ist nichts zu tun. Andernfalls ändern Sie Ihr Passwort.
`,
		},
		{SMS, NewDevice, "en", "", "Somebody logged in with your account from a new device{{if .Detail}} ({{.Detail}}){{end}}. If that was not you, change your password."},
		{SMS, NewDevice, "de", "", "Anmeldung mit Ihrem Konto von einem neuen Gerät{{if .Detail}} ({{.Detail}}){{end}}. Wenn Sie das nicht waren, ändern Sie Ihr Passwort."},

		{
			Mail, PasswordChanged, "en", "Your password was changed",
			`{{if .Name}}Hello {{.Name}},

{{end}}your password was changed{{if .Detail}} ({{.Detail}}){{end}}.

If that was not you, tell your administrator at once.
`,
		},
		{
			Mail, PasswordChanged, "de", "Ihr Passwort wurde geändert",
			`Guten Tag{{if .Name}} {{.Name}}{{end}},

Ihr Passwort wurde geändert{{if .Detail}} ({{.Detail}}){{end}}.

Wenn Sie das nicht waren, verständigen Sie sofort Ihren Administrator.
`,
		},
		{SMS, PasswordChanged, "en", "", "Your password was changed. If that was not you, tell your administrator at once."},
		{SMS, PasswordChanged, "de", "", "Ihr Passwort wurde geändert. Wenn Sie das nicht waren, verständigen Sie sofort Ihren Administrator."},

		{Mail, Test, "en", "Test message", "This is a test. Whoever reads it knows that messages from {{.Service}} arrive.\n"},
		{Mail, Test, "de", "Testnachricht", "Dies ist ein Test. Wer ihn liest, weiß, dass Nachrichten von {{.Service}} ankommen.\n"},
		{SMS, Test, "en", "", "This is a test: messages from {{.Service}} arrive."},
		{SMS, Test, "de", "", "Dies ist ein Test: Nachrichten von {{.Service}} kommen an."},

		{Push, Approval, "en", "", "Somebody logs in as {{.Name}}{{if .Service}} at {{.Service}}{{end}}. If that is you, approve it with the number that is shown there; otherwise deny it."},
		{Push, Approval, "de", "", "Jemand meldet sich{{if .Service}} bei {{.Service}}{{end}} als {{.Name}} an. Wenn Sie das sind, bestätigen Sie mit der dort angezeigten Zahl; sonst lehnen Sie ab."},
		{Push, Test, "en", "", "This is a test: messages from {{.Service}} arrive."},
		{Push, Test, "de", "", "Dies ist ein Test: Nachrichten von {{.Service}} kommen an."},
	}
}

// Kinds returns the kinds of messages that a channel carries.
func Kinds(c Channel) []Kind {
	if c == Push {
		return []Kind{Approval, Test}
	}
	return []Kind{Code, NewDevice, PasswordChanged, Test}
}
