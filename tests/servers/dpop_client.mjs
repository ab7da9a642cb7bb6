// A strict client (oauth4webapi) with DPoP: asks for a token that is bound to its key, then for a resource.
//
//   node dpop_client.mjs TOKEN_ENDPOINT CLIENT SECRET RESOURCE_URL COUNT [RESOURCE_INDICATOR]
//
// Prints one line of JSON: {"token_type", "token", "statuses": [...], "challenged": how often it was told to use a nonce}.
import * as oauth from 'oauth4webapi';

const [endpoint, id, secret, resource, count, indicator = 'https://orders.example'] = process.argv.slice(2);
const server = { issuer: new URL(endpoint).origin, token_endpoint: endpoint };
const client = { client_id: id };
const insecure = { [oauth.allowInsecureRequests]: true };
const proof = oauth.DPoP(client, await oauth.generateKeyPair('ES256'));
const parameters = new URLSearchParams({ scope: 'orders:read', resource: indicator });
const answer = await oauth.clientCredentialsGrantRequest(
  server, client, oauth.ClientSecretBasic(secret), parameters, { ...insecure, DPoP: proof },
);
const token = await oauth.processClientCredentialsResponse(server, client, answer);
const statuses = [];
let challenged = 0;
const ask = () => oauth.protectedResourceRequest(
  token.access_token, 'GET', new URL(resource), undefined, undefined, { ...insecure, DPoP: proof },
);
for (let n = 0; n < Number(count); n += 1) {
  let response;
  try {
    response = await ask();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    challenged += 1;
    response = await ask();
  }
  await response.arrayBuffer();
  statuses.push(response.status);
}
console.log(JSON.stringify({ token_type: token.token_type, token: token.access_token, statuses, challenged }));
