// The sizing calculator: traffic in, numbers for the configuration and bytes out.
import { byId, element, show, table } from './dom.mjs';

const QUESTIONS = [
  ['tokens', 'Different tokens in use', 20000],
  ['counters', 'Different keys that limits count', 20000],
  ['clients', 'Clients with a kept token answer', 500],
  ['once_per_s', 'DPoP proofs or single-use tokens a second', 0],
  ['once_kept_s', 'Seconds that each of these is remembered', 60],
];
const MIB = 1024 * 1024;
const number = (value) => value.toLocaleString('en-US');
const mib = (bytes) => (bytes / MIB).toLocaleString('en-US', { maximumFractionDigits: 1, minimumFractionDigits: 1 });

/** The calculator; `ask` answers questions, `configuration` is the editor's text and how to set it. */
export function makeSizing(ask, configuration) {
  const inputs = QUESTIONS.map(([name, label, value]) => {
    const input = element('input', { type: 'number', min: '0', step: '1', value: String(value), id: `traffic-${name}` });
    input.addEventListener('input', () => update());
    return [name, input, element('label', {}, label, input)];
  });
  show(byId('traffic'), ...inputs.map(([, , label]) => label));
  let advice = [];

  async function update() {
    const traffic = Object.fromEntries(inputs.map(([name, input]) => [name, Math.max(0, Math.floor(Number(input.value) || 0))]));
    advice = await ask({ ask: 'advice', ...traffic });
    const rows = advice.map((one) => [element('code', {}, one.field), number(one.value), one.because]);
    show(byId('advice'), table('Numbers for the configuration', ['Field', 'Value', 'Why'], rows, [1]));
  }

  byId('take').addEventListener('click', () => {
    let document;
    try {
      document = JSON.parse(configuration.text());
    } catch {
      byId('take-said').textContent = 'The configuration is no JSON document that can be changed here.';
      return;
    }
    for (const { field, value } of advice) {
      const [part, name] = field.split('.');
      // Ids count once where something asks for it; a part of its own is no configuration.
      if (part === 'replay' && !document.replay) continue;
      document[part] = { ...document[part], [name]: value };
    }
    configuration.set(JSON.stringify(document, null, 2));
    byId('take-said').textContent = 'Done: the configuration has them.';
  });

  return {
    update,
    /** What the configuration in the editor takes. */
    draw(found) {
      const one = found.configurations?.find(({ sizes }) => sizes);
      if (!one) {
        show(byId('sizes'), element('p', { class: 'hint' }, 'The configuration has mistakes; sizes are shown once it loads.'));
        return;
      }
      const { tables, kong_bytes: kong, kong_zone_mib: zone, envoy_bytes: envoy } = one.sizes;
      const rows = tables.map((row) => [
        element('span', {}, row.holds, row.field ? ' ' : '', row.field ? element('code', {}, row.field) : ''),
        number(row.entries),
        mib(row.kong_bytes),
        mib(row.envoy_bytes),
      ]);
      rows.push(['In all', '', mib(kong), mib(envoy)]);
      show(
        byId('sizes'),
        element('p', { class: 'total' }, `Kong: a zone of ${zone} MiB. Envoy: up to ${mib(envoy)} MiB for all workers.`),
        element('pre', { tabindex: '0' }, `KONG_NGINX_WASM_SHM_KV='${zone}m eviction=lru'`),
        table('Tables in shared memory', ['Holds', 'Entries', 'MiB in Kong', 'MiB in Envoy'], rows, [1, 2, 3]),
        element(
          'p',
          { class: 'hint' },
          `Each worker keeps up to ${number(one.sizes.worker_tokens)} verified tokens in up to ${mib(one.sizes.worker_bytes)} MiB beside that. ` +
            'Envoy never gives a slot back, but has only those that were used. The zone is a tenth larger than its tables, in steps of 8 MiB.',
        ),
      );
    },
  };
}
