// The page as people use it: opened from its file in Chromium, in every state, by mouse and by
// keyboard, dark and light, with axe looking on. Pictures go to dist/playground-pictures.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { AXE, open } from './browser.mjs';

const ROOT = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))));
const PAGE = pathToFileURL(path.join(ROOT, 'dist/playground/index.html')).href;
const PICTURES = path.join(ROOT, 'dist/playground-pictures');

let close;
let page;
let complaints;
let asked;

before(async () => {
  mkdirSync(PICTURES, { recursive: true });
  ({ page, complaints, asked, close } = await open(PAGE, 1360));
  await settled(() => page.getByText('Goes on to the API').waitFor({ timeout: 60_000 }));
});

after(() => close?.());

/** Does something, and waits for the answer to it. */
async function settled(action) {
  await action();
  let last;
  for (let quiet = 0; quiet < 3; ) {
    await page.waitForTimeout(120);
    const now = await page.evaluate(() => document.body.dataset.answered);
    quiet = now === last ? quiet + 1 : 0;
    last = now;
  }
}

/** What axe finds, in both colours; a picture of each. */
async function looked(name) {
  for (const theme of ['light', 'dark']) {
    if ((await page.locator('html').getAttribute('data-theme')) !== theme) await page.locator('#theme').click();
    await page.waitForTimeout(200);
    // The policy keeps scripts out of the page; what a debugger evaluates is not the page's.
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { preload: false }));
    const told = violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target} ${node.failureSummary}`).join(' | ')}`);
    assert.deepEqual(told, [], `${name}, ${theme}`);
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: path.join(PICTURES, `${name}-${theme}.png`), fullPage: true });
  }
}

const banner = () => page.locator('#banner').innerText();
const state = (step) => page.locator(`#steps [data-step="${step}"]`).getAttribute('data-state');
const choose = (id, value) => settled(() => page.locator(id).selectOption(value));
const sample = async (name) => {
  await choose('#sample', name);
  await settled(async () => {});
};

/** The text of the configuration, set as a paste sets it. */
async function configure(text) {
  await page.locator('.cm-content').click();
  await page.keyboard.press('Control+A');
  await settled(() => page.keyboard.insertText(text));
}

test('it opens with a sample that goes on', async () => {
  assert.match(await banner(), /Goes on to the API/);
  for (const step of ['path', 'rule', 'token', 'issuer', 'claims', 'key', 'rights']) assert.equal(await state(step), 'passed', step);
  await looked('accepted');
});

test('every sample of a provider does what its folder says', async () => {
  const names = await page.locator('#sample option').allInnerTexts();
  assert.ok(names.length > 15, names.join());
  for (const name of names.slice(1)) {
    await sample(name);
    assert.doesNotMatch(await page.locator('#problems').innerText(), /would not load/, name);
    const file = path.join(ROOT, 'docs/identity-providers', name, 'tokens.json');
    let tokens = [];
    try {
      tokens = JSON.parse(readFileSync(file, 'utf8'));
    } catch {
      continue;
    }
    for (const token of tokens) {
      await settled(() => page.locator('#sample-token').selectOption(token.name));
      const text = await banner();
      if (token.answer.status === 200) assert.match(text, /Goes on/, `${name}: ${token.name}: ${text}`);
      else assert.match(text, new RegExp(`Refused: ${token.answer.status} [^]*Reason: ${token.answer.reason}\\.`), `${name}: ${token.name}`);
    }
  }
});

test('a refused token, in three dialects', async () => {
  await sample('auth0');
  await choose('#sample-token', 'audience with a slash');
  assert.match(await banner(), /Refused: 401 The access token is for another audience/);
  assert.equal(await state('claims'), 'refused');
  assert.match(await page.locator('[role=tabpanel]').innerText(), /error="invalid_token"/);
  await page.getByRole('tab', { name: 'OAuth (default)' }).focus();
  await page.keyboard.press('ArrowRight');
  assert.match(await page.locator('[role=tabpanel]').innerText(), /"message"/);
  await page.keyboard.press('ArrowRight');
  assert.match(await page.locator('[role=tabpanel]').innerText(), /problem\+json/);
  await looked('refused');
  await page.locator('#theme').click();
  await page.screenshot({ path: path.join(PICTURES, 'readme.png'), fullPage: true, clip: { x: 0, y: 0, width: 1360, height: 1300 } });
});

test('a clock that runs on ends a token', async () => {
  await sample('keycloak');
  for (let hour = 0; hour < 3; hour += 1) await settled(() => page.locator('#later').click());
  assert.match(await banner(), /Refused: 401 The access token expired/);
  await settled(() => page.locator('#now').click());
  assert.match(await banner(), /Goes on to the API/);
});

test('claims are changed and signed again', async () => {
  await page.locator('#opened summary').click();
  const claims = JSON.parse(await page.locator('#token-claims').inputValue());
  await page.locator('#token-claims').fill(JSON.stringify({ ...claims, aud: 'others' }));
  await settled(() => page.locator('#sign').click());
  assert.match(await banner(), /another audience/);
  await looked('signed-again');
  await page.locator('#opened summary').click();
});

test('mistakes are listed, marked and led to', async () => {
  const text = readFileSync(path.join(ROOT, 'docs/identity-providers/keycloak/herdgate.json'), 'utf8');
  await configure(text.replace('"RS256"', '"RS255"').replace('"discovery": true', '"discover": true'));
  assert.match(await page.locator('#problems').innerText(), /mistakes: it would not load/);
  assert.match(await banner(), /Nothing is decided/);
  assert.ok((await page.locator('.cm-lintRange-error').count()) > 0);
  await page.locator('#problems button.link', { hasText: 'algorithms' }).click();
  assert.ok(await page.evaluate(() => document.activeElement.classList.contains('cm-content')));
  await looked('mistakes');
});

test('nothing, and what is no configuration', async () => {
  await configure(' ');
  assert.match(await banner(), /No configuration yet|Nothing is decided/);
  await looked('empty');
  await configure('static_resources: {}');
  assert.match(await page.locator('#problems').innerText(), /no filter with a configuration/);
});

test('shadow', async () => {
  await sample('keycloak');
  await choose('#sample-token', '');
  const text = readFileSync(path.join(ROOT, 'docs/identity-providers/keycloak/herdgate.json'), 'utf8');
  await configure(text.replace('{', '{\n  "mode": "shadow",'));
  assert.match(await banner(), /Goes on as it came[^]*401/);
  await looked('shadow');
});

test('an answer that is needed is asked for, and used', async () => {
  const set = { issuers: [{ name: 'idp', issuer: 'https://idp.example', jwks_uri: 'https://idp.example/jwks', cluster: 'idp', algorithms: ['RS256'] }] };
  await sample('keycloak');
  const claims = JSON.parse(await page.locator('#token-claims').inputValue());
  set.issuers[0].issuer = claims.iss;
  await configure(JSON.stringify(set, null, 2));
  assert.match(await banner(), /Not known yet/);
  await looked('needed');
  await page.locator('#needed textarea').fill('{"keys":[]}');
  await settled(() => page.locator('#needed button').click());
  assert.match(await banner(), /The signing key is unknown|Not known yet|unavailable/);
});

test('many requests meet a limit', async () => {
  await configure(
    JSON.stringify({
      rules: [{ match: { path_prefix: '/' }, access: 'public', limits: ['all'] }],
      rate_limits: [{ name: 'all', key: ['address'], limit: 5, per_s: 60 }],
    }),
  );
  await settled(() => page.locator('#times').fill('8'));
  assert.match(await banner(), /Refused: 429/);
  assert.match(await page.locator('#outcome').innerText(), /goes on\s+5/);
  assert.doesNotMatch(await page.locator('#steps').innerText(), /unknown_issuer/);
  await looked('limited');
  await settled(() => page.locator('#times').fill('1'));
});

test('completion and meaning come from the schema', async () => {
  await configure('{ "mo');
  await page.keyboard.press('Control+Space');
  await page.locator('.cm-tooltip-autocomplete').waitFor();
  assert.match(await page.locator('.cm-tooltip-autocomplete').innerText(), /"mode"/);
  await page.screenshot({ path: path.join(PICTURES, 'completion-open.png') });
  await looked('completion');
  await page.keyboard.press('Escape');
});

test('sizing', async () => {
  await sample('keycloak');
  await page.locator('#show-sizing').click();
  assert.match(await page.locator('#sizes').innerText(), /a zone of 64 MiB/);
  await settled(() => page.locator('#traffic-tokens').fill('400000'));
  assert.match(await page.locator('#advice').innerText(), /shared\.tokens_max\s+830,584/);
  await settled(() => page.locator('#take').click());
  assert.doesNotMatch(await page.locator('#sizes').innerText(), /a zone of 64 MiB/);
  await looked('sizing');
  await page.locator('#show-decision').click();
});

test('all of it can be reached by keyboard, and the editor can be left', async () => {
  await page.locator('#theme').focus();
  const met = [];
  for (let press = 0; press < 40; press += 1) {
    await page.keyboard.press('Tab');
    met.push(await page.evaluate(() => document.activeElement.id || document.activeElement.className || document.activeElement.tagName));
  }
  for (const wanted of ['sample', 'host', 'method', 'target', 'token', 'clock', 'now', 'later', 'times']) assert.ok(met.includes(wanted), `${wanted} of ${met}`);
  assert.ok(met.some((name) => name.includes('cm-content')));
});

test('on a narrow screen nothing runs out of it', async () => {
  await page.setViewportSize({ width: 390, height: 800 });
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 390, `${width}`);
  await looked('narrow');
  await page.setViewportSize({ width: 1360, height: 900 });
});

test('a system in the dark gets a dark page', async () => {
  await page.emulateMedia({ colorScheme: 'light' });
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.waitForTimeout(300);
  assert.equal(await page.locator('html').getAttribute('data-theme'), 'dark');
});

test('nothing left the page, and nothing is kept', async () => {
  assert.deepEqual(asked.filter((url) => !url.startsWith('file:') && !url.startsWith('data:')), []);
  assert.deepEqual(complaints, []);
  const kept = await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie]);
  assert.deepEqual(kept, [0, 0, '']);
  // The policy itself holds: the page can't call anyone.
  const called = await page.evaluate(() => fetch('https://idp.example/').then(() => 'called', () => 'kept in'));
  assert.equal(called, 'kept in');
});
