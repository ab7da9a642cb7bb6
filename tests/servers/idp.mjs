// A real authorization server (oidc-provider) for tests, the demo and benchmarks.
//
//   node idp.mjs [--port N] [--control-port N] [--clients N] [--lifetime SECONDS] [--alg RS256|ES256|EdDSA]
//
// Prints one line of JSON once it listens: {"issuer": ..., "port": ..., "control_port": ..., "pid": ...}.
// Both ports are on the loopback interface only. Ends when its standard input closes (--stdin-bound) or on SIGTERM.
//
// Clients (all confidential): client-a/secret-a (client_secret_basic), client-a-post/secret-a-post
// (client_secret_post), gateway/secret-gateway (introspection), c0001/secret-c0001 and so on with --clients;
// gateway-signed, which gets signed introspection answers (RFC 9701); gateway-rs256, gateway-es256 and gateway-eddsa,
// which sign who they are (private_key_jwt, with the keys at GET /client-keys).
// Secrets are derived from the ids, see secretOf: nothing here guards anything.
//
// Resources (RFC 8707): https://orders.example (audience orders-api), https://other.example (other-api); with
// /rs256, /es256 or /eddsa appended the algorithm is fixed; with /encrypted it is encrypted to the gateway
// (RECIPIENT), with /opaque the access token is opaque, and has the audience. Without a resource it is opaque and has none. http://127.0.0.1:PORT/mcp is an audience of its own.
//
// The control port (see CONTROL below) rotates keys, sets faults and lifetimes, counts calls, serves documents.
import { generateKeyPairSync, createPrivateKey, createPublicKey, sign as signBytes, randomBytes } from 'node:crypto';
import http from 'node:http';
import { parseArgs } from 'node:util';
import Provider, { errors } from 'oidc-provider';
import { Faults, bodyOf, listen, sendJson } from './faults.mjs';
import { Store } from './store.mjs';

const { values: args } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    'control-port': { type: 'string', default: '0' },
    clients: { type: 'string', default: process.env.IDP_CLIENTS ?? '0' },
    lifetime: { type: 'string', default: '3600' },
    alg: { type: 'string', default: 'RS256' },
    'stdin-bound': { type: 'boolean', default: false },
  },
});

const settings = {
  lifetime_s: Number(args.lifetime),
  alg: args.alg,
  jwks_cache_control: undefined,
};
const AUDIENCES = { 'https://orders.example': 'orders-api', 'https://other.example': 'other-api' };
const SCOPES = 'orders:read orders:write';

// ---- keys -------------------------------------------------------------------------------------------------------

const GENERATE = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};

/** Signing keys, the newest first: the server signs with the first one of an algorithm and publishes all. */
let keys = [];

function addKey(alg) {
  const jwk = GENERATE[alg]().privateKey.export({ format: 'jwk' });
  keys.unshift({ ...jwk, alg, use: 'sig', kid: `${alg.toLowerCase()}-${randomBytes(6).toString('hex')}` });
}

function signWithCurrentKey({ alg = settings.alg, header = {}, claims }) {
  const jwk = keys.find((key) => key.alg === alg);
  if (!jwk) throw new Error(`no key for ${alg}`);
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const input = `${encode({ alg, typ: 'at+jwt', kid: jwk.kid, ...header })}.${encode(claims)}`;
  const key = createPrivateKey({ key: jwk, format: 'jwk' });
  const signature = signBytes(alg === 'EdDSA' ? null : 'sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

// ---- the server -------------------------------------------------------------------------------------------------

const secretOf = (id) => `secret-${id.replace(/^client-/, '')}`;

/** Keys of clients that sign who they are. */
const clientKeys = Object.fromEntries(Object.entries(GENERATE).map(([alg, generate]) => (
  [alg, { ...generate().privateKey.export({ format: 'jwk' }), kid: `client-${alg.toLowerCase()}` }]
)));

function publicPart(jwk) {
  const { kty, crv, x, y, n, e, kid } = jwk;
  return { kty, crv, x, y, n, e, kid, use: 'sig' };
}

function clients() {
  const common = {
    redirect_uris: ['https://client.example/callback'],
    grant_types: ['client_credentials', 'authorization_code', 'refresh_token'],
    response_types: ['code'],
    scope: `openid offline_access ${SCOPES}`,
  };
  const named = [
    ['client-a', 'client_secret_basic'],
    ['client-a-post', 'client_secret_post'],
    ['client-b', 'client_secret_basic'],
    ['gateway', 'client_secret_basic'],
  ];
  const signing = Object.entries(clientKeys).map(([alg, jwk]) => ({
    ...common, client_id: `gateway-${alg.toLowerCase()}`, token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: alg, jwks: { keys: [publicPart(jwk)] },
  }));
  const signed = {
    ...common, client_id: 'gateway-signed', client_secret: secretOf('gateway-signed'),
    token_endpoint_auth_method: 'client_secret_basic', introspection_signed_response_alg: 'ES256',
  };
  for (let n = 1; n <= Number(args.clients); n += 1) named.push([`c${String(n).padStart(4, '0')}`, 'client_secret_basic']);
  return [...signing, signed, ...named.map(([id, method]) => ({
    ...common, client_id: id, client_secret: secretOf(id), token_endpoint_auth_method: method,
  }))];
}

/** Whom tokens are encrypted to: the public half of DECRYPTION_JWK in tests/integration/gateway.py. */
const RECIPIENT = {
  alg: 'ECDH-ES+A256KW',
  enc: 'A256GCM',
  kid: 'gateway-1',
  key: createPublicKey({
    format: 'jwk',
    key: { kty: 'EC', crv: 'P-256', x: 'Ze2loSV3wrroKUN_4zhwGhCqo3Xhu1td4QjeQ5wIVR0', y: 'HlLtdXARY_f55A3fnzQbPcm6hgr34Mp8p-nuzQCE0Zw' },
  }),
};

function resourceServer(resource) {
  const [, base, alg] = /^(https:\/\/[a-z.]+?)(?:\/(rs256|es256|eddsa|opaque|encrypted))?\/?$/.exec(resource) ?? [];
  // An MCP server is its own audience, on whatever port the gateway listens.
  const audience = AUDIENCES[base] ?? /^http:\/\/127\.0\.0\.1:\d+\/mcp$/.exec(resource)?.[0];
  if (!audience) throw new errors.InvalidTarget();
  const format = alg === 'opaque' ? 'opaque' : 'jwt';
  const algorithm = { rs256: 'RS256', es256: 'ES256', eddsa: 'EdDSA' }[alg] ?? settings.alg;
  return {
    audience,
    scope: SCOPES,
    accessTokenTTL: settings.lifetime_s,
    accessTokenFormat: format,
    ...(format === 'jwt' && { jwt: { sign: { alg: algorithm }, ...(alg === 'encrypted' && { encrypt: RECIPIENT }) } }),
  };
}

function makeProvider(issuer) {
  const lifetime = () => settings.lifetime_s;
  const provider = new Provider(issuer, {
    adapter: Store,
    clients: clients(),
    jwks: { keys },
    scopes: ['openid', 'offline_access', ...SCOPES.split(' ')],
    cookies: { keys: [randomBytes(16).toString('hex')] },
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'] },
    routes: { token: '/oauth2/token', revocation: '/oauth2/revoke', introspection: '/introspect', jwks: '/jwks' },
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      // RFC 9449: a client that shows a proof gets a token that is bound to its key.
      dPoP: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, resource) => resourceServer(resource),
      },
    },
    interactions: { url: () => '/interaction' },
    rotateRefreshToken: true,
    ttl: { AccessToken: lifetime, ClientCredentials: lifetime, AuthorizationCode: 60, Grant: 86400, IdToken: 3600, Interaction: 60, RefreshToken: 86400, Session: 86400 },
  });
  provider.on('server_error', (_ctx, error) => console.error('idp: server error', error));
  return provider;
}

/** A refresh token, or an authorization code, of `account`, as if the person had signed in and agreed. */
async function grantTo({ client_id: clientId = 'client-a', account = 'user-1', resource = 'https://orders.example', code = false }) {
  const client = await provider.Client.find(clientId);
  if (!client) throw new Error('no such client');
  const grant = new provider.Grant({ accountId: account, clientId });
  grant.addOIDCScope('openid offline_access');
  grant.addResourceScope(resource, SCOPES);
  const grantId = await grant.save();
  const shape = {
    accountId: account, client, grantId, gty: 'authorization_code', resource, scope: `offline_access ${SCOPES}`,
  };
  if (code) {
    const value = await new provider.AuthorizationCode({ ...shape, redirectUri: 'https://client.example/callback' }).save();
    return { code: value, redirect_uri: 'https://client.example/callback' };
  }
  return { refresh_token: await new provider.RefreshToken({ ...shape, rotations: 0 }).save() };
}

// ---- documents: JWK Sets, feeds and credentials that a test makes itself ------------------------------------------

const documents = new Map();

function serveDocument(document, req, res) {
  if (document.headers?.etag && req.headers['if-none-match'] === document.headers.etag) {
    res.writeHead(304, { etag: document.headers.etag }).end();
    return;
  }
  res.writeHead(document.status ?? 200, { 'content-type': 'application/json', ...document.headers }).end(document.body);
}

// ---- CONTROL ----------------------------------------------------------------------------------------------------

const CONTROL = {
  // What the server was asked, by path: {"/jwks": {"requests": 1, "open_max": 1, "headers": {...}}}.
  'GET /counts': () => faults.counts(),
  // The same by second: {"/jwks": {"1700000000": 1}}.
  'GET /rates': () => faults.rates(),
  'POST /counts/reset': () => { faults.resetCounts(); return {}; },
  // {"path": "/jwks", "kind": "slow", "delay_ms": 500, "times": 1}; kind "none" clears one, DELETE all.
  'POST /faults': (body) => { faults.set(body.path, body); return {}; },
  'DELETE /faults': () => { faults.clear(); return {}; },
  // {"lifetime_s": 5, "alg": "ES256", "jwks_cache_control": "max-age=5"}.
  'POST /settings': (body) => Object.assign(settings, body),
  // A new key of {"alg"} signs from now on; with "keep_old": true the old ones stay published.
  'POST /rotate': ({ alg = settings.alg, keep_old: keepOld = false }) => {
    if (!keepOld) keys = keys.filter((key) => key.alg !== alg);
    addKey(alg);
    provider = makeProvider(issuer);
    callback = provider.callback();
    return { kids: keys.map((key) => key.kid) };
  },
  // Private keys of clients, by algorithm: the client gateway-es256 has that of ES256.
  'GET /client-keys': () => clientKeys,
  // Any claims, signed with the key that signs now: how a test gets an expired token of this issuer.
  'POST /sign': (body) => ({ token: signWithCurrentKey(body) }),
  'POST /grants': (body) => grantTo(body),
  // {"path": "/revoked.json", "body": "...", "headers": {...}, "status": 200}: served on the main port; no body removes it.
  'POST /documents': (body) => {
    if (body.body === undefined) documents.delete(body.path);
    else documents.set(body.path, body);
    return {};
  },
};

async function control(req, res) {
  const action = CONTROL[`${req.method} ${req.url}`];
  if (!action) return sendJson(res, 404, { error: 'no such control' });
  try {
    const text = await bodyOf(req);
    return sendJson(res, 200, await action(text ? JSON.parse(text) : {}));
  } catch (error) {
    return sendJson(res, 400, { error: String(error?.message ?? error) });
  }
}

// ---- start --------------------------------------------------------------------------------------------------------

for (const alg of ['EdDSA', 'ES256', 'RS256']) addKey(alg);
const faults = new Faults();
let callback;
const server = http.createServer({ keepAliveTimeout: 60_000 }, faults.wrap((req, res) => {
  const path = req.url.split('?', 1)[0];
  const document = documents.get(path);
  if (document) return serveDocument(document, req, res);
  if (path === '/jwks' && settings.jwks_cache_control) {
    // oidc-provider sets no Cache-Control here, so one set before survives.
    res.setHeader('cache-control', settings.jwks_cache_control);
  }
  return callback(req, res);
}));
const port = await listen(server, Number(args.port));
const issuer = `http://127.0.0.1:${port}`;
const warn = console.warn;
console.warn = () => {};
console.info = () => {};
let provider = makeProvider(issuer);
console.warn = warn;
callback = provider.callback();
const controlServer = http.createServer(control);
const controlPort = await listen(controlServer, Number(args['control-port']));
console.log(JSON.stringify({ issuer, port, control_port: controlPort, pid: process.pid }));

if (args['stdin-bound']) process.stdin.resume().once('end', () => process.exit(0));
