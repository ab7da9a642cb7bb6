// Keys that stand for an identity provider's, made in this page and gone with it, and tokens that
// they sign.

const encoder = new TextEncoder();
const RS256 = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };

export function base64(bytes) {
  return btoa(String.fromCharCode(...new Uint8Array(bytes)));
}

export function base64url(bytes) {
  return base64(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

export function unbase64url(text) {
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (one) => one.charCodeAt(0));
}

const json = (value) => base64url(encoder.encode(JSON.stringify(value)));

/** An RSA key of 2048 bits with all forms in which providers show theirs. */
export async function makeKey() {
  const options = { ...RS256, modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) };
  const pair = await crypto.subtle.generateKey(options, true, ['sign', 'verify']);
  const sign = async (bytes) => new Uint8Array(await crypto.subtle.sign(RS256, pair.privateKey, bytes));
  const { n, e } = await crypto.subtle.exportKey('jwk', pair.publicKey);
  const spki = new Uint8Array(await crypto.subtle.exportKey('spki', pair.publicKey));
  const der = await certificate(spki, sign);
  const digest = async (name) => base64url(await crypto.subtle.digest(name, der));
  const lines = base64(der).match(/.{1,64}/g).join('\n');
  return {
    sign,
    parts: {
      n,
      e,
      x5c: base64(der),
      x5t: await digest('SHA-1'),
      'x5t#S256': await digest('SHA-256'),
      pem: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    },
  };
}

/** DER: a tag, a length, the contents (X.690, section 8.1). */
function der(tag, ...contents) {
  const bytes = contents.flatMap((part) => [...part]);
  const { length } = bytes;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Uint8Array.from([tag, ...size, ...bytes]);
}

/** A certificate that its own key signs (RFC 5280, section 4.1), for thirty years. */
async function certificate(spki, sign) {
  const sequence = (...parts) => der(0x30, ...parts);
  // sha256WithRSAEncryption, and the attribute commonName.
  const algorithm = sequence([0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b], [0x05, 0]);
  const name = sequence(der(0x31, sequence([0x06, 3, 0x55, 4, 3], der(0x0c, encoder.encode('sample')))));
  const time = (text) => der(0x17, encoder.encode(text));
  const body = sequence(
    der(0xa0, [0x02, 1, 2]),
    [0x02, 1, 1],
    algorithm,
    name,
    sequence(time('200101000000Z'), time('491231235959Z')),
    name,
    spki,
  );
  return sequence(body, algorithm, der(0x03, [0], await sign(body)));
}

/** A JWT by this key. */
export async function signed(key, header, claims) {
  const text = `${json(header)}.${json(claims)}`;
  return `${text}.${base64url(await key.sign(encoder.encode(text)))}`;
}

/** Header and claims of a token, to be looked at; nothing where it is none. */
export function opened(token) {
  const parts = token.trim().replace(/^(Bearer|DPoP) /i, '').split('.');
  if (parts.length !== 3) return null;
  try {
    const [header, claims] = parts.slice(0, 2).map((part) => JSON.parse(new TextDecoder().decode(unbase64url(part))));
    return { header, claims };
  } catch {
    return null;
  }
}
