// Elements made from text alone: nothing that someone typed is ever read as HTML.

/** `element('p', { class: 'hint' }, 'text', another)`. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Puts these children in the place of all others. */
export function show(parent, ...children) {
  parent.replaceChildren(...children.filter(Boolean));
}

/** A table of texts; `numbers` are the columns that hold some. */
export function table(caption, heads, rows, numbers = []) {
  const of = (column) => (numbers.includes(column) ? { class: 'number' } : {});
  return element(
    'table',
    {},
    element('caption', { class: 'unseen' }, caption),
    element('thead', {}, element('tr', {}, ...heads.map((head, at) => element('th', { scope: 'col', ...of(at) }, head)))),
    element('tbody', {}, ...rows.map((row) => element('tr', {}, ...row.map((cell, at) => element('td', of(at), cell))))),
  );
}
