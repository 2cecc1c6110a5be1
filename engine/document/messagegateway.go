package document

import (
	"time"

	"trine/engine/message"
	"trine/engine/secret"
)

// The types of message gateways.
const (
	TypeSMTP = "smtp" // mail, through a mail server
	TypeHTTP = "http" // text messages, through a gateway that is asked over HTTP
	TypePush = "push" // challenges to devices, through a gateway that is asked over HTTP
)

// MessageGateway carries one-time codes and notices to people: mail through a mail server, text messages or push challenges through
// an HTTP gateway. There is one of each type at most.
type MessageGateway struct {
	// Type says what is carried: mail (smtp), text messages (http) or challenges to devices (push). The block smtp holds the fields of the first, http those of the others.
	Type string `json:"type" enum:"smtp,http,push" required:"true"`
	// Description is free text.
	Description string `json:"description"`
	// Language is the language of messages to people whose own is not known or has no texts, as a BCP 47 tag such as de or en-GB.
	Language string `json:"language" default:"en"`
	// Texts lists texts that are used instead of the built-in ones, which are in English (en) and German (de).
	Texts []MessageText `json:"texts"`
	// Limits keeps people from being flooded with messages. Each node counts for itself.
	Limits MessageLimits `json:"limits"`
	// SMTP holds the fields of type smtp.
	SMTP *SMTPGateway `json:"smtp"`
	// HTTP holds the fields of types http and push.
	HTTP *HTTPGateway `json:"http"`
}

// MessageText is what one kind of message says in one language.
type MessageText struct {
	// Message is the kind: code is a one-time code, newDevice tells of a login from a new device, passwordChanged of a change of the password, approval goes with a push challenge, test is what an administrator sends to try a gateway.
	Message message.Kind `json:"message" enum:"code,newDevice,passwordChanged,approval,test" required:"true"`
	// Language is the language of the text, as a BCP 47 tag.
	Language string `json:"language" required:"true"`
	// Subject is the subject of a mail, a template like text. Let it show no code: subjects stand in logs and on locked screens.
	Subject string `json:"subject"`
	// Text is the message: a template in which `{{.Code}}`, `{{.Service}}`, `{{.Minutes}}` (until the code ends), `{{.Name}}` and `{{.Detail}}` (of a notice) stand for values, and `{{if .Name}}...{{else}}...{{end}}` for conditions.
	Text string `json:"text" required:"true"`
}

// MessageLimits bound the messages of a gateway.
type MessageLimits struct {
	// RecipientBurst is how many messages one recipient may be sent in a row.
	RecipientBurst int `json:"recipientBurst" default:"5" min:"1" max:"1000"`
	// RecipientEvery is how long it takes until a recipient who was sent as many may be sent one more.
	RecipientEvery time.Duration `json:"recipientEvery" default:"2m" min:"1s" max:"24h"`
	// TotalPerMinute is how many messages all recipients together may be sent in a minute.
	TotalPerMinute int `json:"totalPerMinute" default:"300" min:"1" max:"100000"`
}

// SMTPGateway is what a gateway of type smtp has of its own.
type SMTPGateway struct {
	// Servers lists the mail servers, `host` or `host:port`, tried in this order. The port is 587 where security is starttls, else 465 for tls and 25 for the others.
	Servers []string `json:"servers" required:"true"`
	// Security says how the connection is protected: starttls and tls (from the first byte) always are, opportunistic is where the server offers STARTTLS, and none never is. The last two show codes to whoever is on the way.
	Security string `json:"security" default:"starttls" enum:"starttls,tls,opportunistic,none"`
	// Authorities are PEM certificates of which one must have issued the server's, instead of the system's authorities.
	Authorities string `json:"authorities"`
	// UserName is the name to log in with; without one there is no login.
	UserName string `json:"userName"`
	// Password is the password of userName.
	Password secret.Text `json:"password"`
	// From is the sender: an address, or a name with an address, such as `Example IT <it@example.com>`.
	From string `json:"from" required:"true"`
	// ReplyTo is the address for answers, where it is not the sender's.
	ReplyTo string `json:"replyTo"`
	// HelloName is the name with which the node introduces itself; without one it is the host's name.
	HelloName string `json:"helloName"`
	// Timeout is how long one attempt may take.
	Timeout time.Duration `json:"timeout" default:"15s" min:"1s" max:"2m"`
}

// HTTPGateway is what a gateway of type http or push has of its own. Each value of query and form, and each text in json, is a template in
// which {{.To}}, {{.Text}}, {{.Challenge}}, {{.Ticket}}, {{.ID}}, {{.UserName}} and {{.Secret}} stand for values; it is escaped as a whole for the place where it stands.
type HTTPGateway struct {
	// URL is where the request goes. It must begin with https unless cleartext is true. Redirects are not followed.
	URL string `json:"url" required:"true"`
	// Cleartext allows a URL that begins with http, which shows codes and secrets to whoever is on the way.
	Cleartext bool `json:"cleartext"`
	// Authorities are PEM certificates of which one must have issued the server's, instead of the system's authorities.
	Authorities string `json:"authorities"`
	// Method is the method of the request.
	Method string `json:"method" default:"POST" enum:"GET,POST,PUT"`
	// Headers are header fields of the request. They are no templates and hold no secrets.
	Headers map[string]Values `json:"headers"`
	// Query are parameters that are added to the URL. Values are templates: `{{.To}}` is the number with + and country code or the address of the device, `{{.Text}}` the message, `{{.Challenge}}` and `{{.Ticket}}` what a device needs to answer (of type push, both in base64), `{{.ID}}` an identifier that is the same for each attempt at one message, `{{.UserName}}` and `{{.Secret}}` the fields of those names.
	Query map[string]Values `json:"query"`
	// Form are the fields of a form as body (application/x-www-form-urlencoded). Values are templates as in query.
	Form map[string]Values `json:"form"`
	// JSON is a JSON text as body. The texts in it are templates as in query.
	JSON string `json:"json"`
	// Auth says how secret is sent: basic with userName (RFC 7617), bearer (RFC 6750), header in the field that header names, template in query, form or json as `{{.Secret}}`; none sends none.
	Auth string `json:"auth" default:"none" enum:"none,basic,bearer,header,template"`
	// UserName is the name for basic, or for a template.
	UserName string `json:"userName"`
	// Secret is the password, token or key.
	Secret secret.Text `json:"secret"`
	// Header names the header field that carries the secret where auth is header.
	Header string `json:"header"`
	// Statuses lists the status codes that mean success; without any, 200 to 299 do.
	Statuses []int `json:"statuses" min:"100" max:"599"`
	// Response is a regular expression (RE2) that must match somewhere in the first 64 KiB of the response. Where it does not, the message counts as refused.
	Response string `json:"response"`
	// CountryCode is for type http: it is put in place of the first 0 of numbers that are written without one, such as 49.
	CountryCode string `json:"countryCode"`
	// Prefixes is for type http: it lists the beginnings of numbers, such as +49, to which messages are sent; without any, every number is.
	Prefixes []string `json:"prefixes"`
	// Timeout is how long one attempt may take.
	Timeout time.Duration `json:"timeout" default:"15s" min:"1s" max:"2m"`
}

// GatewayValues are what the templates of an HTTPGateway show.
type GatewayValues struct {
	To        string // the number, with + and country code; of type push the address of the device
	Text      string // the message
	Challenge string // of type push
	Ticket    string // of type push
	ID        string // the same for each attempt at one message
	UserName  string
	Secret    string
}

// Channel is the way to people that the gateway carries messages on.
func (g *MessageGateway) Channel() message.Channel {
	switch g.Type {
	case TypeSMTP:
		return message.Mail
	case TypePush:
		return message.Push
	}
	return message.SMS
}

func (*MessageGateway) kind() string { return KindMessageGateway }

func (g *MessageGateway) normalise() {}

func (g *MessageGateway) relations(_ string, r *relations) {
	r.claim("messages/"+g.Channel().String(), "spec.type")
}
