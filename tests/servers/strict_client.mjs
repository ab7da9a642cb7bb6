// A strict OAuth2 client (oauth4webapi) for tests: asks for tokens, refuses every answer that RFC 6749 does not allow.
//
//   node strict_client.mjs TOKEN_ENDPOINT CLIENT SECRET COUNT [basic|post]
//
// Prints one line of JSON: [{"access_token", "expires_in", "token_type", "asked_at"}, ...], or for a refusal that it
// understood {"refused", "error", "challenges"}.
import * as oauth from 'oauth4webapi';

const [endpoint, id, secret, count, method = 'basic'] = process.argv.slice(2);
const server = { issuer: new URL(endpoint).origin, token_endpoint: endpoint };
const authentication = method === 'post' ? oauth.ClientSecretPost(secret) : oauth.ClientSecretBasic(secret);
const parameters = new URLSearchParams({ scope: 'orders:read', resource: 'https://orders.example' });
const out = [];
for (let n = 0; n < Number(count); n += 1) {
  const askedAt = Date.now() / 1000;
  const response = await oauth.clientCredentialsGrantRequest(server, { client_id: id }, authentication, parameters, { [oauth.allowInsecureRequests]: true });
  try {
    const result = await oauth.processClientCredentialsResponse(server, { client_id: id }, response);
    out.push({ ...result, asked_at: askedAt });
  } catch (error) {
    if (error instanceof oauth.WWWAuthenticateChallengeError) {
      out.push({ refused: error.status, error: (await error.response.json()).error, challenges: error.cause.map((challenge) => challenge.scheme) });
    } else if (error instanceof oauth.ResponseBodyError) {
      out.push({ refused: error.status, error: error.error, challenges: [] });
    } else throw error;
  }
}
console.log(JSON.stringify(out));
