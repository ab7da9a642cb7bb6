// What the schema says of a place: names that may stand there, values, and what they mean.
import { syntaxTree } from '@codemirror/language';
import { nameOf, stepsTo } from './places.mjs';
import schema from '../../../herdgate.schema.json';

/** All schemas that hold at a place; several where it may be of several kinds. */
export function schemasAt(steps) {
  let found = [schema];
  for (const step of steps) {
    found = found.flatMap(alternatives).flatMap((one) => {
      if (typeof step === 'number') return one.items ? [one.items] : [];
      const inside = one.properties?.[step] ?? (one.additionalProperties || null);
      return inside ? [inside] : [];
    });
  }
  return found.flatMap(alternatives);
}

function alternatives(one) {
  return one.anyOf ? one.anyOf.map((other) => ({ description: one.description, ...other })).flatMap(alternatives) : [one];
}

function kind(one) {
  if (one.enum) return one.enum.map((value) => JSON.stringify(value)).join(' | ');
  return [one.type].flat().filter(Boolean).join(' | ');
}

/** A value to begin with. */
function stub(one) {
  if (one.default !== undefined) return JSON.stringify(one.default);
  const [first] = alternatives(one);
  if (first.enum) return JSON.stringify(first.enum[0]);
  return { object: '{  }', array: '[]', boolean: 'true', integer: '0', number: '0' }[first.type] ?? '""';
}

/** Names and values that may stand at the cursor. */
export function complete(context) {
  const node = syntaxTree(context.state).resolveInner(context.pos, -1);
  const word = context.matchBefore(/"?[\w.]*"?$/);
  if (!word || (word.from === word.to && !context.explicit)) return null;
  const isName = ['PropertyName', 'Object', '{', ','].includes(node.name) || (node.name === '⚠' && node.parent?.name === 'Object');
  if (isName) {
    let object = node;
    while (object && object.name !== 'Object') object = object.parent;
    if (!object) return null;
    const taken = object.getChildren('Property').map((one) => nameOf(context.state, one));
    const after = context.state.sliceDoc(context.pos, context.pos + 40);
    const hasValue = /^"?\s*:/.test(after);
    const options = schemasAt(stepsTo(context.state, object))
      .flatMap((one) => Object.entries(one.properties ?? {}))
      .filter(([name]) => !taken.includes(name))
      .map(([name, one]) => ({
        label: `"${name}"`,
        apply: hasValue ? `"${name}"` : `"${name}": ${stub(one)}`,
        detail: kind(one),
        info: one.description,
        type: 'property',
      }));
    return { from: word.from, options, validFor: /^"?[\w]*"?$/ };
  }
  const values = schemasAt(stepsTo(context.state, node)).flatMap((one) => {
    if (one.enum) return one.enum.map((value) => JSON.stringify(value));
    return one.type === 'boolean' ? ['true', 'false'] : [];
  });
  if (!values.length) return null;
  return { from: word.from, options: values.map((label) => ({ label, type: 'enum' })), validFor: /^"?[\w]*"?$/ };
}

/** What the field under the pointer means. */
export function meaning(state, position) {
  const node = syntaxTree(state).resolveInner(position, 1);
  if (node.name !== 'PropertyName') return null;
  const found = schemasAt(stepsTo(state, node)).find((one) => one.description);
  if (!found) return null;
  const fallback = found.default === undefined ? '' : ` Default: ${JSON.stringify(found.default)}.`;
  return { from: node.from, to: node.to, text: found.description + fallback };
}
