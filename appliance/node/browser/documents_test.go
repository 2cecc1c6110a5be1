package browser

import (
	"fmt"
	"strings"
)

// documents are those of the node that tests share. Each test has people and clients of its own, so that none disturbs another.
var documents = append([]string{
	`
kind: IdentityProvider
name: local
spec:
  type: local
  name: Example Inc.
  publicID: https://trine.example.com
  network: {hostName: localhost, ports: [{port: PORT}]}
  profiles: {openid: {enabled: true}}
---
kind: MessageGateway
name: mail
spec:
  type: smtp
  limits: {recipientBurst: 10}
  smtp: {servers: ["SMTP"], security: none, from: it@example.com}
---
kind: MessageGateway
name: sms
spec:
  type: http
  limits: {recipientBurst: 10}
  http: {url: GATEWAY, cleartext: true, json: '{"to": "{{.To}}", "body": "{{.Text}}"}'}
---
kind: MessageGateway
name: push
spec:
  type: push
  limits: {recipientBurst: 10}
  http: {url: GATEWAY, cleartext: true, json: '{"device": "{{.To}}", "challenge": "{{.Challenge}}", "ticket": "{{.Ticket}}"}'}
---
kind: UserType
name: default
spec:
  password: {keep: [keyed]} # quick to verify: many tests log in at a time, on few cores
---
kind: UserType
name: guessed
spec:
  password: {keep: [keyed], lockout: {attempts: 3, window: 1h, duration: 1h}}
---
kind: UserType
name: changing
spec:
  password: {minLength: 8, allowChange: true, keep: [argon2id, nt]}
---
kind: EntityGroup
name: applications
---
kind: AttributeDefinition
name: givenName
spec: {source: givenName, openidName: given_name}
---
kind: AttributeDefinition
name: sn
spec: {source: sn, openidName: family_name}
---
kind: AttributeDefinition
name: mail
spec: {source: email, openidName: email}
---
kind: AttributePolicy
name: applications
spec:
  condition: {attributeRequesterInGroup: applications}
  attributes: [{attribute: givenName}, {attribute: sn}, {attribute: mail}]
---
kind: Group
name: staff
`,
}, issuers()...)

// secretOf is every person's password.
const secretOf = "wonderland"

// person is a user.
func person(name, more string) string {
	return fmt.Sprintf(`
kind: User
name: %s
spec:
  firstName: %s
  lastName: Liddell
  mail: %s
  mailDomain: example.com
  primaryGroup: staff
  password: %s
%s`, name, strings.ToUpper(name[:1])+name[1:], name, secretOf, indented(more))
}

// application is a client of the identity provider, by default the local one.
func application(name, issuer, secret, callback, bye, more string) string {
	if issuer != "" {
		issuer = "identityProvider: " + issuer
	}
	return fmt.Sprintf(`
kind: ServiceProvider
name: %s
spec:
  type: oidc
  name: Application %s
  entityGroup: applications
  %s
  oidc:
    clientSecret: %s
    flows: {authorizationCode: true}
    responseURLs: ["%s"]
    postLogoutURLs: ["%s"]
    allowedScopes: ["*"]
%s`, name, name, issuer, secret, callback, bye, indented(more))
}

// demonstration is a client for the demo relying party, at an address of its own where its logouts are to arrive.
func demonstration(name, issuer, at, more string) string {
	text := application(name, issuer, "demo-secret", "http://127.0.0.1/callback", at+"/signed-out", "")
	return text + indented(more)
}

func indented(text string) string {
	return strings.TrimRight(text, "\n") + "\n"
}

// factors are identity providers below the local one, each with one way to log in, told apart by the path prefix.
var factors = []struct{ name, matrix string }{
	{"otp", "{first: Password, second: OTP}"},
	{"mail", "{first: Password, second: Email}"},
	{"sms", "{first: Password, second: SMS}"},
	{"pin", "{first: Password, second: PIN}"},
	{"push", "{first: Password, second: Push}"},
	{"fido", "{first: Password}, {first: FIDO}"},
	{"step", "{first: Password}, {first: Password, second: OTP}"},
}

func issuers() (list []string) {
	for _, f := range factors {
		list = append(list, fmt.Sprintf(`
kind: IdentityProvider
name: %[1]s
spec:
  type: local
  parent: local
  name: Example %[1]s
  publicID: https://trine.example.com/%[1]s
  pathPrefix: /%[1]s
  authentication: {matrix: [%[2]s]}
  profiles: {openid: {enabled: true}}
`, f.name, f.matrix))
	}
	return list
}
