package oidc

import (
	"testing"

	"trine/engine/document"
	"trine/engine/secret"
)

func testClient(t *testing.T, change func(*document.OpenIDClient)) *Client {
	t.Helper()
	o := document.NewOpenIDClient()
	o.ClientSecret, o.Flows.AuthorizationCode = secret.Plain("builder"), true
	o.ResponseURLs = []string{"https://app.example.com/cb"}
	if change != nil {
		change(o)
	}
	c, err := newClient(&document.ServiceProvider{Type: document.TypeOIDC, OIDC: o})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Item 14 of the pitfalls: a redirect URI is compared byte for byte, and only the port of a loopback address may be another.
func TestRedirectURIsAreComparedByteForByte(t *testing.T) {
	c := testClient(t, func(o *document.OpenIDClient) {
		o.ApplicationType = "native"
		o.ResponseURLs = []string{
			"https://app.example.com/cb", "https://app.example.com/q?x=1", "http://127.0.0.1/cb", "http://[::1]:9000/cb", "http://localhost/cb", "com.example.app:/cb", "http://127.0.0.1",
		}
	})
	for uri, want := range map[string]bool{
		"https://app.example.com/cb":                 true,
		"https://app.example.com/cb/":                false,
		"https://app.example.com/CB":                 false,
		"https://APP.example.com/cb":                 false,
		"https://app.example.com:443/cb":             false,
		"https://app.example.com/cb?x=1":             false,
		"https://app.example.com/cb#x":               false,
		"https://app.example.com/%63b":               false,
		"https://app.example.com/a/../cb":            false,
		"https://app.example.com.evil.example/cb":    false,
		"https://app.example.com@evil.example/cb":    false,
		"http://app.example.com/cb":                  false,
		"https://app.example.com/q?x=1":              true,
		"https://app.example.com/q?x=2":              false,
		"http://127.0.0.1/cb":                        true,
		"http://127.0.0.1:51004/cb":                  true,
		"http://127.0.0.1:51004/other":               false,
		"http://127.0.0.1:51004":                     true,
		"http://127.0.0.1:80x/cb":                    false,
		"http://127.0.0.1:51004@evil.example/cb":     false,
		"http://127.0.0.1.evil.example/cb":           false,
		"http://127.0.0.1:1.evil.example/cb":         false,
		"http://127.0.0.2:51004/cb":                  false,
		"https://127.0.0.1:51004/cb":                 false,
		"http://[::1]:51004/cb":                      true,
		"http://[::1]/cb":                            true,
		"http://localhost/cb":                        true,
		"http://localhost:51004/cb":                  false,
		"com.example.app:/cb":                        true,
		"com.example.app:/cb2":                       false,
		"":                                           false,
		"http://127.0.0.1:51004/cb?x=1":              false,
		"http://user@127.0.0.1:51004/cb":             false,
		"http://127.0.0.1:51004:51005/cb":            false,
		"javascript:alert(1)//https://app.example.c": false,
	} {
		if c.allows(uri) != want {
			t.Errorf("%q: %v", uri, !want)
		}
	}
}

func TestKeysThatAreNotPublicAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"private":   `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`,
		"symmetric": `{"keys":[{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}]}`,
		"none":      `{"keys":[]}`,
		"not JSON":  `keys`,
		"unknown":   `{"keys":[{"kty":"XYZ"}]}`,
	} {
		if _, err := parseKeys([]byte(text)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	set, err := parseKeys([]byte(`{"keys":[{"kty":"XYZ"},{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	if err != nil || len(set.Keys) != 1 {
		t.Errorf("%v %v", set, err)
	}
}

// Item 18: a public key never verifies as a shared secret.
func TestAssertionAlgorithmsAreThoseOfTheMethod(t *testing.T) {
	shared := testClient(t, func(o *document.OpenIDClient) {
		o.TokenEndpointAuth, o.ClientSecret = "client_secret_jwt", secret.Plain("0123456789abcdef0123456789abcdef")
	})
	for _, a := range shared.assertions {
		if a[:2] != "HS" {
			t.Errorf("client_secret_jwt takes %s", a)
		}
	}
	keyed := testClient(t, func(o *document.OpenIDClient) {
		o.TokenEndpointAuth = "private_key_jwt"
		o.JWKS = `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	})
	for _, a := range keyed.assertions {
		if a[:2] == "HS" {
			t.Errorf("private_key_jwt takes %s", a)
		}
	}
	if len(shared.assertions) == 0 || len(keyed.assertions) == 0 {
		t.Error("none is taken")
	}
}

func TestAddressesOfThisNetworkAreNotAsked(t *testing.T) {
	o := newOutgoing(nil, nil)
	for _, address := range []string{
		"127.0.0.1:443", "10.1.2.3:443", "192.168.1.1:443", "172.16.0.1:443", "169.254.169.254:80", "[::1]:443", "[fe80::1]:443", "[fd00::1]:443", "0.0.0.0:80", "100.64.0.1:443",
		"[::ffff:127.0.0.1]:443", "[::ffff:10.0.0.1]:443", "[64:ff9b::7f00:1]:443", "[2002:7f00:1::]:443", "224.0.0.1:80", "255.255.255.255:80", "[::]:80",
	} {
		if o.control("tcp", address, nil) == nil {
			t.Errorf("%s is asked", address)
		}
	}
	for _, address := range []string{"93.184.216.34:443", "[2606:4700::1]:443"} {
		if err := o.control("tcp", address, nil); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}
