// A strict OAuth2 client (oauth4webapi) for tests: asks for tokens, refuses every answer that RFC 6749 does not allow.
//
//   node strict_client.mjs TOKEN_ENDPOINT CLIENT SECRET COUNT [basic|post] [RESOURCE_INDICATOR] [RESOURCE_URL]
//
// With a URL it calls that with each token. Prints one line of JSON:
// [{"access_token", "expires_in", "token_type", "asked_at", "status" with a URL}, ...], or for a refusal that it
// understood {"refused", "error", "challenges"}.
import * as oauth from 'oauth4webapi';

const [endpoint, id, secret, count, method = 'basic', indicator = 'https://orders.example', url] = process.argv.slice(2);
const server = { issuer: new URL(endpoint).origin, token_endpoint: endpoint };
const authentication = method === 'post' ? oauth.ClientSecretPost(secret) : oauth.ClientSecretBasic(secret);
const parameters = new URLSearchParams({ scope: 'orders:read', resource: indicator });
const out = [];
for (let n = 0; n < Number(count); n += 1) {
  const askedAt = Date.now() / 1000;
  const response = await oauth.clientCredentialsGrantRequest(server, { client_id: id }, authentication, parameters, { [oauth.allowInsecureRequests]: true });
  try {
    const result = await oauth.processClientCredentialsResponse(server, { client_id: id }, response);
    let status;
    if (url) {
      const resource = await oauth.protectedResourceRequest(result.access_token, 'GET', new URL(url), undefined, undefined, { [oauth.allowInsecureRequests]: true });
      await resource.arrayBuffer();
      status = resource.status;
    }
    out.push({ ...result, asked_at: askedAt, status });
  } catch (error) {
    if (error instanceof oauth.WWWAuthenticateChallengeError) {
      out.push({ refused: error.status, error: (await error.response.json()).error, challenges: error.cause.map((challenge) => challenge.scheme) });
    } else if (error instanceof oauth.ResponseBodyError) {
      out.push({ refused: error.status, error: error.error, challenges: [] });
    } else throw error;
  }
}
console.log(JSON.stringify(out));
