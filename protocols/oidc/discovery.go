package oidc

import (
	"trine/engine/policy"
)

// discovery returns the metadata of an identity provider (OpenID Connect Discovery 1.0 section 3, RFC 8414), which say what is there and nothing else.
func discovery(i *policy.Issuer) []byte {
	e := i.Spec.Profiles.OpenID
	at := func(path string) string { return i.URL + path }
	o := newObject(make([]byte, 0, 4096))
	o.text("issuer", i.URL)
	o.text("authorization_endpoint", at(e.Authorization))
	o.text("token_endpoint", at(e.Token))
	o.text("userinfo_endpoint", at(e.UserInfo))
	o.text("jwks_uri", at(e.JWKS))
	o.text("registration_endpoint", at(e.Registration))
	o.text("revocation_endpoint", at(e.Revoke))
	o.text("introspection_endpoint", at(e.TokenInfo))
	o.text("end_session_endpoint", at(e.Logout))
	o.text("check_session_iframe", at(e.CheckSession))
	o.texts("scopes_supported", []string{"openid", "profile", "email", "address", "phone", "offline_access"})
	o.texts("response_types_supported", []string{"code", "id_token", "token id_token", "token", "code id_token", "code token", "code token id_token"})
	o.texts("response_modes_supported", []string{"query", "fragment", "form_post"})
	o.texts("grant_types_supported", []string{"authorization_code", "implicit", "password", "client_credentials", "refresh_token"})
	o.texts("acr_values_supported", acrValues())
	o.texts("subject_types_supported", []string{"public", "pairwise"})
	signing := []string{"RS256", "PS256", "ES256", "EdDSA"}
	wrapping := []string{"RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW", "RSA1_5"}
	content := []string{"A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512", "A128GCM", "A192GCM", "A256GCM"}
	verified := []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	o.texts("id_token_signing_alg_values_supported", signing)
	o.texts("id_token_encryption_alg_values_supported", wrapping)
	o.texts("id_token_encryption_enc_values_supported", content)
	o.texts("userinfo_signing_alg_values_supported", signing)
	o.texts("userinfo_encryption_alg_values_supported", wrapping)
	o.texts("userinfo_encryption_enc_values_supported", content)
	o.texts("request_object_signing_alg_values_supported", append([]string{"none"}, verified...))
	methods := []string{"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"}
	asserted := append([]string{"HS256", "HS384", "HS512"}, verified...)
	o.texts("token_endpoint_auth_methods_supported", methods)
	o.texts("token_endpoint_auth_signing_alg_values_supported", asserted)
	o.texts("introspection_endpoint_auth_methods_supported", methods[:4])
	o.texts("introspection_endpoint_auth_signing_alg_values_supported", asserted)
	o.texts("revocation_endpoint_auth_methods_supported", methods)
	o.texts("revocation_endpoint_auth_signing_alg_values_supported", asserted)
	o.texts("display_values_supported", []string{"page", "popup", "touch", "wap"})
	o.texts("claim_types_supported", []string{"normal"})
	o.texts("claims_supported", []string{
		"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "sid", "name", "given_name", "family_name", "middle_name", "nickname", "preferred_username",
		"profile", "picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at", "email", "email_verified", "address", "phone_number", "phone_number_verified",
	})
	o.texts("prompt_values_supported", []string{"none", "login", "consent", "select_account"})
	o.texts("code_challenge_methods_supported", []string{"S256", "plain"})
	o.flag("claims_parameter_supported", true)
	o.flag("request_parameter_supported", true)
	o.flag("request_uri_parameter_supported", false)
	o.flag("require_request_uri_registration", false)
	o.flag("authorization_response_iss_parameter_supported", true)
	o.flag("frontchannel_logout_supported", true)
	o.flag("frontchannel_logout_session_supported", true)
	o.flag("backchannel_logout_supported", true)
	o.flag("backchannel_logout_session_supported", true)
	return o.end()
}
