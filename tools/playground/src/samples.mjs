// Samples: the folders of docs/identity-providers and examples, with keys of this page in the place
// of the providers'.
import folders from 'samples';
import { makeKey, signed } from './keys.mjs';

export const names = Object.keys(folders);

/** A sample with its keys made. */
export async function open(name) {
  const { title, config, documents = {}, tokens = [] } = folders[name];
  const keys = {};
  const wanted = JSON.stringify(documents).matchAll(/"\{([a-z]+)\.[a-zA-Z0-9#]+\}"/g);
  for (const [, one] of wanted) keys[one] ??= await makeKey();
  const sample = { title, config, tokens, keys, kids: kidsOf(documents) };
  sample.documents = Object.fromEntries(
    Object.entries(documents).map(([url, body]) => [url, { status: 200, body: JSON.stringify(filled(body, keys, 0), null, 2) }]),
  );
  return sample;
}

/** Which key is meant by which `kid`: of a JWK Set, or of certificates by `kid`. */
function kidsOf(documents) {
  const named = (text) => /^\{([a-z]+)\./.exec(text)?.[1];
  const kids = {};
  for (const document of Object.values(documents)) {
    for (const jwk of document.keys ?? []) if (named(jwk.n)) kids[jwk.kid] = named(jwk.n);
    for (const [kid, text] of Object.entries(document)) if (String(text).endsWith('.pem}')) kids[kid] = named(text);
  }
  return kids;
}

/** A part of a document or a token with keys and times in it. */
function filled(value, keys, now) {
  if (Array.isArray(value)) return value.map((one) => filled(one, keys, now));
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, filled(one, keys, now)]));
  }
  const time = /^\{now([+-]\d+)?\}$/.exec(value);
  if (time) return now + Number(time[1] ?? 0);
  const part = /^\{([a-z]+)\.(n|e|x5c|x5t|x5t#S256|pem)\}$/.exec(value);
  return part ? keys[part[1]].parts[part[2]] : value;
}

/** A token with what it has of another one. */
function whole(sample, name) {
  const token = sample.tokens.find((one) => one.name === name);
  if (!token.like) return token;
  const base = whole(sample, token.like);
  const claims = { ...base.claims };
  for (const claim of token.without ?? []) delete claims[claim];
  return { ...base, ...token, header: { ...base.header, ...token.header }, claims: { ...claims, ...token.claims } };
}

/** A sample's token as its client sends it, and its request. */
export async function token(sample, name, now) {
  const one = whole(sample, name);
  const [method, target] = (one.request ?? 'GET /').split(' ');
  if (one.text !== undefined) return { text: one.text, method, target };
  const text = await resigned(sample, one.header, filled(one.claims, sample.keys, now));
  return { text: one.unsigned ? text.slice(0, text.lastIndexOf('.') + 1) : text, method, target };
}

/** Signs claims by the sample's key that the header names, else by its first one. */
export async function resigned(sample, header, claims) {
  const key = sample.keys[sample.kids[header.kid]] ?? Object.values(sample.keys)[0];
  if (!key) throw new Error('This sample has no keys to sign with.');
  return signed(key, header, claims);
}
