// The checker as WebAssembly, in Node, through the same few lines that carry it in the page.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../../tools/playground/src/program.mjs';

const ask = await load(readFileSync(new URL('../../dist/playground.wasm', import.meta.url)));
const SECRET = 'a secret of the playground, of 32 bytes and more';
const NOW_S = 1_800_000_000;
const CONFIG = {
  issuers: [
    {
      name: 'idp',
      issuer: 'https://idp.example',
      algorithms: ['HS256'],
      audiences: ['orders-api'],
      keys: [{ secret: SECRET }],
      forward: { claims: { sub: 'x-user' } },
    },
  ],
  rules: [
    { match: { path_prefix: '/health' }, access: 'public' },
    { match: { path_prefix: '/orders' }, issuers: ['idp'], scopes_all: ['orders:read'], limits: ['per-user'] },
  ],
  rate_limits: [{ name: 'per-user', key: ['issuer', 'subject'], limit: 3, per_s: 60 }],
};

async function hs256(claims, secret = SECRET) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'HS256' })}.${part(claims)}`;
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey('raw', Buffer.from(secret), algorithm, false, ['sign']);
  return `${text}.${Buffer.from(await crypto.subtle.sign('HMAC', key, Buffer.from(text))).toString('base64url')}`;
}

const claims = (more = {}) => ({
  iss: 'https://idp.example',
  aud: 'orders-api',
  sub: 'ada',
  scope: 'orders:read',
  iat: NOW_S,
  exp: NOW_S + 600,
  ...more,
});

async function decide({ config = CONFIG, target = '/orders', token = '', ...more }) {
  const { configurations } = await ask({
    text: JSON.stringify(config),
    name: 'c.json',
    request: { method: 'GET', target },
    token,
    now_ms: NOW_S * 1000,
    ...more,
  });
  return configurations[0].decision;
}

const state = (decision, name) => decision.steps.find(({ step }) => step === name).state;

test('a good token goes on, with what the API sees', async () => {
  const decision = await decide({ token: await hs256(claims()) });
  assert.equal(decision.why.verdict, 'accepted');
  assert.equal(decision.why.issuer, 'idp');
  assert.deepEqual(decision.api_sees.set, [['x-user', 'ada']]);
  assert.ok(decision.steps.every((step) => step.state === 'passed'), JSON.stringify(decision.steps));
  assert.ok(decision.counted.includes('herdgate.limit.per-user.allowed'));
});

for (const [reason, step, more] of [
  ['expired', 'claims', { exp: NOW_S - 60 }],
  ['wrong_audience', 'claims', { aud: 'others' }],
  ['unknown_issuer', 'issuer', { iss: 'https://evil.example' }],
  ['scope', 'rights', { scope: 'other' }],
]) {
  test(`${reason} is refused at ${step}, in three dialects`, async () => {
    const decision = await decide({ token: await hs256(claims(more)) });
    assert.equal(decision.why.reason, reason);
    assert.equal(state(decision, step), 'refused');
    assert.deepEqual(Object.keys(decision.dialects), ['oauth', 'kong', 'problem']);
    assert.equal(decision.api_sees, null);
    assert.match(decision.dialects.problem.headers.find(([name]) => name === 'content-type')[1], /problem\+json/);
  });
}

test('a forged token is refused at its key', async () => {
  const decision = await decide({ token: await hs256(claims(), `${SECRET}!`) });
  assert.equal(decision.why.reason, 'bad_signature');
  assert.equal(state(decision, 'key'), 'refused');
});

test('what is wrong besides is said too', async () => {
  const decision = await decide({ token: await hs256(claims({ exp: NOW_S - 60, scope: 'x' })) });
  assert.equal(state(decision, 'claims'), 'refused');
  assert.equal(state(decision, 'rights'), 'also');
});

test('no token, no rule, a bad path', async () => {
  assert.equal((await decide({})).why.reason, 'no_token');
  assert.equal((await decide({ target: '/elsewhere' })).why.reason, 'no_rule');
  assert.equal((await decide({ target: '/a/../orders' })).why.reason, 'bad_path');
  assert.equal((await decide({ target: '/health' })).why.verdict, 'anonymous');
});

test('requests in a row meet their limit', async () => {
  const decision = await decide({ token: await hs256(claims()), times: 5 });
  assert.deepEqual(decision.ends, [['goes on', 3], ['429 (limited)', 2]]);
  assert.equal(state(decision, 'limits'), 'refused');
});

test('a shadow lets it go on as it came, and tells what it would hear', async () => {
  const decision = await decide({ config: { ...CONFIG, mode: 'shadow' }, token: await hs256(claims({ aud: 'x' })) });
  assert.equal(decision.why.verdict, 'shadowed');
  assert.deepEqual([decision.api_sees.set, decision.api_sees.removed], [[], []]);
  assert.equal(decision.enforced.dialects.oauth.status, 401);
});

test('what another server would say is asked for', async () => {
  const issuer = { ...CONFIG.issuers[0], keys: undefined, jwks_uri: 'https://idp.example/jwks', algorithms: ['RS256'] };
  const config = { ...CONFIG, issuers: [issuer] };
  const header = Buffer.from('{"alg":"RS256","kid":"a"}').toString('base64url');
  const [, body, signature] = (await hs256(claims())).split('.');
  const token = `${header}.${body}.${signature}`;
  const decision = await decide({ config, token });
  assert.deepEqual(decision.fetched, [{ kind: 'keys', method: 'GET', url: 'https://idp.example/jwks', status: null }]);
  assert.equal(state(decision, 'key'), 'open');
  const known = await decide({ config, token, documents: { 'https://idp.example/jwks': { status: 200, body: '{"keys":[]}' } } });
  assert.equal(known.fetched[0].status, 200);
  assert.notEqual(state(known, 'key'), 'open');
});

test('mistakes are listed, and nothing is decided', async () => {
  const { configurations } = await ask({ text: '{ "mode": "x", "colour": 1 }', name: 'c.json', request: { target: '/' } });
  assert.equal(configurations[0].mistakes.length, 2);
  assert.equal(configurations[0].decision, undefined);
});

test('anything that is typed gets an answer', async () => {
  for (const text of ['', '{', '[]', 'null', 'a: [', '\u0000', '{"a":'.repeat(2000), '"'.repeat(100_000)]) {
    const answer = await ask({ text, name: 'c.json', request: { target: '/' } });
    assert.ok(answer.error || answer.configurations, text.slice(0, 20));
  }
  for (const target of ['', '*', '?', 'x y', 'https://a', '/\u{1f600}', '/%00']) {
    const answer = await ask({ text: JSON.stringify(CONFIG), request: { method: '', target }, token: 'é.\n' });
    assert.ok(answer.error || answer.configurations, target);
  }
});

test('numbers for traffic and sizes of tables', async () => {
  const advice = await ask({ ask: 'advice', tokens: 20_000, counters: 20_000, clients: 500 });
  assert.equal(advice.find(({ field }) => field === 'shared.tokens_max').value, 65_536);
  const { configurations } = await ask({ text: '{}', name: 'c.json' });
  assert.equal(configurations[0].sizes.kong_zone_mib, 64);
});
