// Draws a decision: a banner, the steps, what the API sees, what the client gets.
import { byId, element, show, table } from './dom.mjs';

const TITLES = {
  path: 'Path',
  rule: 'Rule',
  token: 'Token',
  issuer: 'Issuer',
  claims: 'Claims',
  key: 'Key',
  rights: 'What the rule asks',
  limits: 'Limits',
};
const STATES = {
  passed: ['✓', 'passed', 'good'],
  refused: ['✕', 'refused here', 'bad'],
  also: ['!', 'would be refused too', 'bad'],
  open: ['?', 'not known yet', 'open'],
  skipped: ['–', 'not reached', 'skipped'],
};
const DIALECTS = { oauth: 'OAuth (default)', kong: 'Kong', problem: 'Problem details' };
const count = (number, one) => `${number} ${one}${number === 1 ? '' : 's'}`;

/** Mistakes and warnings below the editor; each leads to its place. */
export function drawProblems(found, go) {
  if (found.error) {
    show(byId('problems'), element('p', { class: 'problem bad' }, element('span', { class: 'tag' }, 'unread'), found.error));
    return;
  }
  const several = found.configurations.length > 1;
  const rows = found.configurations.flatMap((one) => {
    const at = several ? `${one.place}: ` : '';
    const mistakes = one.mistakes.map(({ path, message }) => ['mistake', 'bad', `${at}${path}: ${message}`, path]);
    const warnings = one.warnings.map((text) => ['warning', 'warning', at + text, text.split(':')[0]]);
    return [...mistakes, ...warnings];
  });
  rows.push(...found.warnings.map((text) => ['warning', 'warning', text, '']));
  const mistakes = rows.filter(([kind]) => kind === 'mistake').length;
  const summary = mistakes
    ? element('p', { class: 'bad' }, `${count(mistakes, 'mistake')}: it would not load.`)
    : element('p', { class: 'good' }, `It loads${rows.length ? `, with ${count(rows.length, 'warning')}` : ''}.`);
  const lines = rows.map(([kind, colour, text, place]) =>
    element(
      'div',
      { class: `problem ${colour}` },
      element('span', { class: 'tag' }, kind),
      element('button', { type: 'button', class: 'link', onclick: () => go(place) }, text),
    ),
  );
  show(byId('problems'), summary, ...lines);
}

function banner(colour, title, text) {
  const box = byId('banner');
  box.className = colour;
  show(box, element('strong', {}, title), element('span', {}, text));
}

/** Nothing to decide: why. */
export function drawNothing(title, text, colour = 'open') {
  banner(colour, title, text);
  show(byId('needed'));
  show(byId('steps'));
  show(byId('outcome'));
}

/** One decision. */
export function drawDecision(one, reasons, give) {
  const { decision } = one;
  const [colour, title, text] = headline(decision, reasons);
  banner(colour, title, text);
  drawNeeded(decision, give);
  const end = decision.steps.findIndex(({ state }) => ['refused', 'open'].includes(state));
  show(byId('steps'), ...decision.steps.map((step, at) => drawStep(step, end >= 0 && at > end)));
  show(byId('outcome'), ...outcome(decision), counted(decision), said(one));
}

function refusal(decision, reasons) {
  const reason = reasons.find((one) => one.name === decision.why.reason);
  const status = decision.dialects?.oauth?.status ?? reason?.status ?? '';
  return `${status} ${reason?.description ?? ''}`.trim();
}

function headline(decision, reasons) {
  const { verdict, rule, issuer, reason } = decision.why;
  const under = rule === undefined ? '' : ` Rule: ${rule}.`;
  const by = issuer ? ` Issuer: ${issuer}.` : '';
  if (decision.is_open && reason?.endsWith('unavailable')) {
    return ['open', 'Not known yet', 'The gateway would ask another server, whose answer is not given here.'];
  }
  if (verdict === 'shadowed') {
    const enforced = decision.enforced ? refusal(decision.enforced, reasons) : '';
    return ['open', 'Goes on as it came', `It is in shadow, where refusals are only counted. Enforced, the client would get ${enforced}.${under}${by}`];
  }
  if (verdict === 'refused' || decision.dialects) {
    return ['bad', `Refused: ${refusal(decision, reasons)}`, `Reason: ${reason ?? 'none'}.${under}${by}`];
  }
  if (verdict === 'anonymous') {
    const also = reason ? ` Its bad token (${reason}) is taken out.` : '';
    return ['good', 'Goes on without an identity', `The API sees an anonymous request.${also}${under}`];
  }
  if (verdict === 'accepted') return ['good', 'Goes on to the API', `${under}${by}`.trim() || 'The token is good.'];
  return ['good', 'Goes on', `No token is needed.${under}`];
}

/** Answers that are needed before there is a verdict. */
function drawNeeded(decision, give) {
  const missing = decision.fetched.filter((call) => call.status === null);
  const cards = missing.map(({ url, method, kind }) => {
    const field = element('textarea', { rows: 4, spellcheck: 'false' });
    return element(
      'div',
      {},
      element('label', {}, `What ${method} ${url} answers (${kind})`, field),
      element('button', { type: 'button', onclick: () => give(url, field.value) }, 'Use this answer'),
    );
  });
  show(byId('needed'), ...cards);
}

function drawStep({ step, state, lines }, isBehind) {
  const [sign, said, colour] = STATES[state];
  const words = state === 'skipped' && !isBehind ? 'nothing to do' : said;
  return element(
    'li',
    { class: state === 'skipped' ? 'skipped' : '', 'data-step': step, 'data-state': state },
    element('span', { class: `mark ${colour}`, 'aria-hidden': 'true' }, sign),
    element('span', { class: 'step-name' }, TITLES[step]),
    element('span', { class: `step-state ${colour}` }, words),
    ...lines.map((line) => element('p', {}, line)),
  );
}

function outcome(decision) {
  const parts = [];
  if (decision.ends.length > 1 || decision.ends[0]?.[1] > 1) {
    const rows = decision.ends.map(([end, times]) => [end, String(times)]);
    parts.push(element('h3', {}, 'Request after request'), table('How the requests ended', ['End', 'Requests'], rows, [1]));
  }
  parts.push(element('h3', {}, 'What the API sees'));
  if (decision.api_sees) parts.push(apiTable(decision));
  else parts.push(element('p', { class: 'hint' }, 'Nothing: the request is answered here.'));
  parts.push(element('h3', {}, 'What the client gets'));
  if (decision.dialects && decision.is_open) parts.push(element('p', { class: 'hint' }, 'While that server is not asked:'));
  if (decision.dialects) parts.push(dialects(decision.dialects));
  else parts.push(element('p', { class: 'hint' }, answered(decision)));
  if (decision.enforced) {
    parts.push(element('h3', {}, 'If it were enforced'));
    if (decision.enforced.dialects) parts.push(dialects(decision.enforced.dialects));
    else parts.push(element('p', { class: 'hint' }, 'The request would go on.'));
  }
  return parts;
}

function answered({ api_sees: api }) {
  const added = api.response.map(([name, value]) => `${name}: ${value}`);
  return added.length ? `What the API answers, and beside it ${added.join('; ')}.` : 'What the API answers.';
}

function apiTable({ sent, api_sees: api }) {
  const before = new Map(sent);
  const rows = api.headers.map(([name, value]) => {
    const was = before.get(name);
    const how = api.set.some(([set]) => set === name) ? 'set by the filter' : was === value ? '' : 'blanked';
    return [element('code', {}, name), element('code', {}, shortened(value)), how];
  });
  for (const [name] of sent) {
    if (!api.headers.some(([other]) => other === name)) rows.push([element('code', {}, name), '', 'taken out']);
  }
  return table('Headers of the request as the API gets it', ['Header', 'Value', 'Change'], rows);
}

const shortened = (text) => (text.length > 160 ? `${text.slice(0, 120)}… (${text.length} bytes)` : text);

/** One answer in three dialects, as tabs. */
function dialects(answers) {
  const names = Object.keys(answers);
  const panel = element('pre', { role: 'tabpanel', tabindex: '0', 'aria-label': 'The answer' });
  const tabs = names.map((name) => element('button', { type: 'button', role: 'tab' }, DIALECTS[name]));
  const choose = (chosen, focus) => {
    tabs.forEach((tab, at) => {
      tab.setAttribute('aria-selected', String(at === chosen));
      tab.tabIndex = at === chosen ? 0 : -1;
    });
    if (focus) tabs[chosen].focus();
    const { status, headers, body } = answers[names[chosen]];
    panel.textContent = [`HTTP ${status}`, ...headers.map(([name, value]) => `${name}: ${value}`), '', body].join('\n');
  };
  tabs.forEach((tab, at) => {
    tab.addEventListener('click', () => choose(at));
    tab.addEventListener('keydown', ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (step) choose((at + step + tabs.length) % tabs.length, true);
    });
  });
  choose(0);
  return element('div', { class: 'dialects' }, element('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Dialects' }, ...tabs), panel);
}

function counted({ counted: names }) {
  if (!names.length) return null;
  return element('details', {}, element('summary', {}, 'What is counted'), element('pre', { tabindex: '0' }, names.join('\n')));
}

function said(one) {
  const lines = [...one.summary, '', ...(one.request ?? []), ...(one.token ? ['', 'TOKEN:', ...one.token] : [])];
  return element('details', {}, element('summary', {}, 'The same in the words of make check'), element('pre', { tabindex: '0' }, lines.join('\n')));
}
