// The page: what is typed becomes a question to the checker, its answer is drawn.
import program from 'program.wasm';
import { byId, element, show } from './dom.mjs';
import { drawDecision, drawNothing, drawProblems } from './drawing.mjs';
import { makeEditor } from './editor.mjs';
import { opened } from './keys.mjs';
import { load } from './program.mjs';
import * as samples from './samples.mjs';
import { makeSizing } from './sizing.mjs';

const FIRST = 'keycloak';
const WAIT_MS = 150;
const NONE = 'none, or type one below';

const nonce = document.querySelector('meta[http-equiv="Content-Security-Policy"]').content.match(/'nonce-([^']+)'/)[1];
let ask;
let reasons = [];
let sample = null;
let served = {};
let waiting = 0;
let asked = 0;

const editor = makeEditor(byId('editor'), nonce, () => later());
const sizing = makeSizing((question) => ask(question), editor);

/** Lines `name: value` or `NAME=value`, as pairs. */
function pairs(id, mark) {
  const lines = byId(id).value.split('\n').filter((line) => line.includes(mark));
  return lines.map((line) => [line.slice(0, line.indexOf(mark)).trim(), line.slice(line.indexOf(mark) + 1).trim()]);
}

/** The moment that the clock shows; it is UTC, whatever the machine's zone. */
function now() {
  const shown = Date.parse(`${byId('clock').value}Z`);
  return Number.isNaN(shown) ? Date.now() : Math.max(0, shown);
}

function setClock(ms) {
  byId('clock').value = new Date(ms).toISOString().slice(0, 19);
}

function question() {
  const text = editor.text();
  return {
    ask: 'play',
    name: text.trimStart().startsWith('{') ? 'configuration.json' : 'configuration.yaml',
    text,
    host: byId('host').value,
    env: Object.fromEntries(pairs('env', '=')),
    token: byId('token').value,
    now_ms: now(),
    times: Math.max(1, Number(byId('times').value) || 1),
    documents: served,
    request: {
      method: byId('method').value,
      target: byId('target').value,
      host: byId('request-host').value,
      headers: pairs('headers', ':'),
      body: byId('body').value,
      address: byId('address').value,
      route: byId('route').value,
    },
  };
}

function later() {
  clearTimeout(waiting);
  waiting = setTimeout(update, WAIT_MS);
}

async function update() {
  if (!ask) return;
  asked += 1;
  const number = asked;
  let found;
  try {
    found = await ask(question());
  } catch (error) {
    drawNothing('The checker stopped', error.message, 'bad');
    return;
  }
  if (number !== asked) return;
  drawProblems(found, editor.go);
  const [one] = found.configurations ?? [];
  const isEmpty = !editor.text().trim();
  if (isEmpty) show(byId('problems'));
  mark(found);
  sizing.draw(found);
  if (!one) drawNothing('No configuration yet', isEmpty ? 'Type one, or choose a sample.' : found.error);
  else if (one.mistakes.length) drawNothing('Nothing is decided', 'The configuration has mistakes, listed below it. A gateway would refuse it.', 'bad');
  else if (!one.decision) drawNothing('No request yet', 'Type a method and a path.');
  else drawDecision(one, reasons, give);
  document.body.dataset.answered = String(number);
}

/** Marks in the editor what has a place there: only where the text is the document itself. */
function mark(found) {
  const [one, another] = found.configurations ?? [];
  if (!one || another || one.place) return editor.mark([]);
  const mistakes = one.mistakes.map(({ path, message }) => ({ place: path, message, severity: 'error' }));
  const warnings = one.warnings
    .filter((text) => /^[\w[\].]+: /.test(text))
    .map((text) => ({ place: text.split(':')[0], message: text, severity: 'warning' }));
  return editor.mark([...mistakes, ...warnings]);
}

/** What a server answers, from now on. */
function give(url, body) {
  served = { ...served, [url]: { status: 200, body } };
  drawServed();
  update();
}

function drawServed() {
  const urls = Object.keys(served);
  byId('served-count').textContent = `(${urls.length})`;
  const fields = urls.map((url) => {
    const field = element('textarea', { rows: 5, spellcheck: 'false' });
    field.value = served[url].body;
    field.addEventListener('input', () => {
      served[url] = { ...served[url], body: field.value };
      later();
    });
    const remove = () => {
      delete served[url];
      drawServed();
      update();
    };
    return element(
      'div',
      {},
      element('label', {}, url, field),
      element('button', { type: 'button', class: 'quiet', onclick: remove, 'aria-label': `Take away ${url}` }, 'Take away'),
    );
  });
  const empty = element('p', { class: 'hint' }, 'None. When the gateway would ask one, a field for its answer appears below.');
  show(byId('documents'), ...(fields.length ? fields : [empty]));
}

async function chooseSample(name) {
  if (!name) return;
  const chosen = await samples.open(name);
  if (byId('sample').value !== name) return;
  sample = chosen;
  served = sample.documents;
  drawServed();
  editor.set(sample.config);
  const options = sample.tokens.map(({ name: one }) => element('option', {}, one));
  show(byId('sample-token'), element('option', { value: '' }, NONE), ...options);
  byId('sample-token').disabled = !options.length;
  byId('sign').disabled = !Object.keys(sample.keys).length;
  const [first] = sample.tokens;
  byId('sample-token').value = first?.name ?? '';
  if (first) await chooseToken(first.name);
  else byId('token').value = '';
  drawOpened();
  update();
}

async function chooseToken(name) {
  if (!name) {
    byId('token').value = '';
  } else {
    const one = await samples.token(sample, name, Math.floor(now() / 1000));
    byId('token').value = one.text;
    byId('method').value = one.method;
    byId('target').value = one.target;
  }
  drawOpened();
  update();
}

/** What the token says, to be read and changed. */
function drawOpened() {
  const found = opened(byId('token').value);
  byId('token-header').value = found ? JSON.stringify(found.header, null, 2) : '';
  byId('token-claims').value = found ? JSON.stringify(found.claims, null, 2) : '';
  byId('sign-said').textContent = '';
}

async function sign() {
  try {
    const [header, claims] = ['token-header', 'token-claims'].map((id) => JSON.parse(byId(id).value));
    byId('token').value = await samples.resigned(sample, header, claims);
    byId('sign-said').textContent = 'Signed.';
    update();
  } catch (error) {
    byId('sign-said').textContent = `Not signed: ${error.message}`;
  }
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  byId('theme').textContent = name === 'dark' ? 'Light' : 'Dark';
  byId('theme').setAttribute('aria-label', `Switch to ${name === 'dark' ? 'light' : 'dark'} colours`);
}

function view(name) {
  for (const one of ['decision', 'sizing']) {
    byId(one).hidden = one !== name;
    byId(`show-${one}`).setAttribute('aria-pressed', String(one === name));
  }
}

async function begin() {
  const preferred = matchMedia('(prefers-color-scheme: dark)');
  setTheme(preferred.matches ? 'dark' : 'light');
  preferred.addEventListener('change', () => setTheme(preferred.matches ? 'dark' : 'light'));
  byId('theme').addEventListener('click', () => setTheme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'));
  byId('show-decision').addEventListener('click', () => view('decision'));
  byId('show-sizing').addEventListener('click', () => view('sizing'));
  show(byId('sample'), element('option', { value: '' }, 'your own'), ...samples.names.map((name) => element('option', {}, name)));
  byId('sample').addEventListener('change', ({ target }) => chooseSample(target.value));
  byId('sample-token').addEventListener('change', ({ target }) => chooseToken(target.value));
  byId('sign').addEventListener('click', sign);
  byId('token').addEventListener('input', drawOpened);
  byId('now').addEventListener('click', () => (setClock(Date.now()), update()));
  byId('later').addEventListener('click', () => (setClock(now() + 3_600_000), update()));
  for (const id of ['host', 'method', 'target', 'request-host', 'token', 'clock', 'times', 'headers', 'body', 'address', 'route', 'env']) {
    byId(id).addEventListener('input', later);
  }
  setClock(Date.now());
  drawServed();
  drawNothing('Getting ready', 'The checker is being compiled.');
  ask = await load(program);
  reasons = await ask({ ask: 'reasons' });
  await sizing.update();
  byId('sample').value = FIRST;
  await chooseSample(FIRST);
}

begin().catch((error) => drawNothing('The playground did not start', error.message, 'bad'));
