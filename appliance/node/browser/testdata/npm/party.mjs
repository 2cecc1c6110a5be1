// A relying party by openid-client, as its documentation has it: authorization code with PKCE, user information, refresh, introspection, revocation, logout.
// Settings come by the environment; the address that it listens on is what it says first.
import http from 'node:http'
import * as client from 'openid-client'

const {ISSUER, CLIENT_ID, CLIENT_SECRET, SCOPE} = process.env
const config = await client.discovery(new URL(ISSUER), CLIENT_ID, undefined, client.ClientSecretBasic(CLIENT_SECRET))
let base, pending, tokens

const routes = {
  async '/login'() {
    pending = {verifier: client.randomPKCECodeVerifier(), state: client.randomState(), nonce: client.randomNonce()}
    return client.buildAuthorizationUrl(config, {
      redirect_uri: base + '/callback', scope: SCOPE, state: pending.state, nonce: pending.nonce,
      code_challenge: await client.calculatePKCECodeChallenge(pending.verifier), code_challenge_method: 'S256',
    })
  },
  async '/callback'(url) {
    tokens = await client.authorizationCodeGrant(config, url, {
      pkceCodeVerifier: pending.verifier, expectedState: pending.state, expectedNonce: pending.nonce, idTokenExpected: true,
    })
    const claims = tokens.claims()
    return {claims, userinfo: await client.fetchUserInfo(config, tokens.access_token, claims.sub)}
  },
  async '/refresh'() {
    const before = tokens
    tokens = await client.refreshTokenGrant(config, before.refresh_token)
    return {claims: tokens.claims(), renewed: tokens.access_token !== before.access_token, introspected: await client.tokenIntrospection(config, tokens.access_token)}
  },
  async '/revoke'() {
    await client.tokenRevocation(config, tokens.access_token)
    return {introspected: await client.tokenIntrospection(config, tokens.access_token)}
  },
  async '/logout'() {
    return client.buildEndSessionUrl(config, {post_logout_redirect_uri: base + '/bye', id_token_hint: tokens.id_token, state: 'a-state'})
  },
  async '/bye'(url) {
    return {bye: url.searchParams.get('state')}
  },
}

const server = http.createServer(async (request, response) => {
  const url = new URL(request.url, base)
  try {
    const result = await (routes[url.pathname] ?? (() => { throw new Error('no such page') }))(url)
    if (result instanceof URL) {
      response.writeHead(303, {location: result.href}).end()
      return
    }
    response.writeHead(200, {'content-type': 'application/json'}).end(JSON.stringify(result))
  } catch (e) {
    response.writeHead(500, {'content-type': 'application/json'}).end(JSON.stringify({failed: e.message, code: e.code, error: e.error, description: e.error_description, cause: String(e.cause ?? '')}))
  }
})
server.listen(0, '127.0.0.1', () => {
  base = 'http://127.0.0.1:' + server.address().port
  console.log(base)
})
