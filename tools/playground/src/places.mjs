// Where a place such as `issuers[1].jwks_uri` stands in the text, and which place stands where.
import { syntaxTree } from '@codemirror/language';

/** `issuers[1].forward.claims` as names and numbers; map keys may hold anything but a dot. */
export function parsePlace(place) {
  const steps = [];
  for (const part of place.split('.')) {
    const [, name, rest] = /^([^[]*)(.*)$/.exec(part);
    if (name) steps.push(name);
    for (const [, number] of rest.matchAll(/\[(\d+)\]/g)) steps.push(Number(number));
  }
  return steps;
}

function unquoted(state, node) {
  const text = state.sliceDoc(node.from, node.to);
  try {
    return JSON.parse(text);
  } catch {
    return text.replaceAll('"', '');
  }
}

const VALUES = new Set(['Object', 'Array', 'String', 'Number', 'True', 'False', 'Null']);

export function valueOf(property) {
  for (let child = property.firstChild; child; child = child.nextSibling) {
    if (VALUES.has(child.name)) return child;
  }
  return null;
}

export function nameOf(state, property) {
  const name = property.getChild('PropertyName');
  return name && unquoted(state, name);
}

function items(array) {
  const found = [];
  for (let child = array.firstChild; child; child = child.nextSibling) {
    if (VALUES.has(child.name)) found.push(child);
  }
  return found;
}

/** The range that a message about `place` is best shown at: the name, or the nearest part that is there. */
export function rangeOf(state, place) {
  let node = syntaxTree(state).topNode.firstChild;
  let shown = null;
  let rest = place;
  for (const step of parsePlace(place)) {
    if (typeof step === 'number') {
      const item = node?.name === 'Array' ? items(node)[step] : null;
      if (!item) break;
      node = item;
      shown = { from: item.from, to: Math.min(item.to, item.from + 1) };
      continue;
    }
    if (node?.name !== 'Object') break;
    const property = node
      .getChildren('Property')
      .find((one) => nameOf(state, one) === step || rest === nameOf(state, one));
    if (!property) break;
    const name = property.getChild('PropertyName');
    shown = { from: name.from, to: name.to };
    node = valueOf(property) ?? property;
    rest = rest.slice(rest.indexOf(step) + step.length + 1);
  }
  if (!shown) return { from: 0, to: Math.min(1, state.doc.length) };
  // A wrong value is shown itself, if it is a simple one.
  if (node && !['Object', 'Array', 'Property'].includes(node.name)) return { from: node.from, to: node.to };
  return shown;
}

/** The steps from the top to a node. */
export function stepsTo(state, node) {
  const steps = [];
  for (let at = node; at; at = at.parent) {
    if (at.name === 'Property') steps.unshift(nameOf(state, at));
    if (at.parent?.name === 'Array') steps.unshift(items(at.parent).findIndex((one) => one.from === at.from));
  }
  return steps;
}
