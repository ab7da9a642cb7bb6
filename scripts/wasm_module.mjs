// Reads a WebAssembly binary just far enough to list its imports and exports, and rewrites its
// export section.

const MAGIC = Buffer.from('\0asm\x01\0\0\0', 'latin1');
const CUSTOM = 0;
const TYPE = 1;
const IMPORT = 2;
const FUNCTION = 3;
const EXPORT = 7;
const FUNCTION_KIND = 0;
const PLAIN_FUNCTION = 0x60;
export const V128 = 0x7b;

/** What stands behind a position, taken one part after the other. */
class Reader {
  constructor(data) {
    this.data = data;
    this.at = 0;
  }

  get done() {
    return this.at >= this.data.length;
  }

  byte() {
    if (this.done) throw new Error('the module ends too early');
    this.at += 1;
    return this.data[this.at - 1];
  }

  /** An unsigned LEB128 number of 32 bits. */
  uint() {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (!(byte & 0x80)) return value;
    }
    throw new Error('a number is longer than 32 bits');
  }

  bytes() {
    const length = this.uint();
    if (this.at + length > this.data.length) throw new Error('the module ends too early');
    this.at += length;
    return this.data.subarray(this.at - length, this.at);
  }

  name() {
    return this.bytes().toString('utf8');
  }

  /** As many of what `read` reads as the number says that stands first. */
  list(read) {
    return Array.from({ length: this.uint() }, read);
  }
}

function uint(value) {
  const out = [];
  do {
    const rest = Math.floor(value / 128);
    out.push((value % 128) | (rest ? 0x80 : 0));
    value = rest;
  } while (value);
  return Buffer.from(out);
}

function sized(data) {
  return Buffer.concat([uint(data.length), data]);
}

export class Module {
  /** The sections of a module, in order, as [id, payload]. */
  constructor(data) {
    if (!data.subarray(0, MAGIC.length).equals(MAGIC))
      throw new Error('not a WebAssembly 1.0 module');
    const reader = new Reader(data.subarray(MAGIC.length));
    this.sections = [];
    while (!reader.done) this.sections.push([reader.byte(), reader.bytes()]);
  }

  #section(kind) {
    return new Reader(this.sections.find(([section]) => section === kind)?.[1] ?? Buffer.of(0));
  }

  /** The parameter types of each function type. */
  types() {
    const reader = this.#section(TYPE);
    return reader.list(() => {
      if (reader.byte() !== PLAIN_FUNCTION)
        throw new Error('only plain function types are expected');
      const parameters = reader.bytes();
      reader.bytes();
      return parameters;
    });
  }

  /** {module, name, type} of each imported function, `type` being an index; no other is expected. */
  imports() {
    const reader = this.#section(IMPORT);
    return reader.list(() => {
      const [module, name] = [reader.name(), reader.name()];
      if (reader.byte() !== FUNCTION_KIND)
        throw new Error(`import ${module}.${name} is not a function`);
      return { module, name, type: reader.uint() };
    });
  }

  /** The type index of each function, the imported ones first. */
  functionTypes() {
    const reader = this.#section(FUNCTION);
    return [...this.imports().map(({ type }) => type), ...reader.list(() => reader.uint())];
  }

  /** {name, kind, index} of each export. */
  exports() {
    const reader = this.#section(EXPORT);
    return reader.list(() => ({ name: reader.name(), kind: reader.byte(), index: reader.uint() }));
  }

  /** The exports of functions that have a v128 parameter. */
  exportsWithVectors() {
    const [types, functions] = [this.types(), this.functionTypes()];
    return this.exports().filter(
      ({ kind, index }) => kind === FUNCTION_KIND && types[functions[index]].includes(V128),
    );
  }

  /** Drops every other export. What `renamed` (a Map) names takes the name and place of another. */
  keepExports(names, renamed = new Map()) {
    const present = this.exports();
    const missing = [...renamed.keys()].filter((name) => !present.some((one) => one.name === name));
    if (missing.length) throw new Error(`no export ${missing.sort().join(', ')} to rename`);
    const replaced = new Set(renamed.values());
    const kept = present
      .filter(({ name }) => !replaced.has(name))
      .map((one) => ({ ...one, name: renamed.get(one.name) ?? one.name }))
      .filter(({ name }) => names.has(name));
    const entries = kept.map(({ name, kind, index }) =>
      Buffer.concat([sized(Buffer.from(name)), Buffer.of(kind), uint(index)]),
    );
    const payload = Buffer.concat([uint(kept.length), ...entries]);
    this.sections = this.sections.map(([kind, data]) => [kind, kind === EXPORT ? payload : data]);
  }

  /** The payload of the custom section of this name, as text; nothing if there is none. */
  customText(name) {
    for (const [, data] of this.sections.filter(([section]) => section === CUSTOM)) {
      const reader = new Reader(data);
      if (reader.name() === name) return data.subarray(reader.at).toString('utf8');
    }
    return undefined;
  }

  /** Adds a custom section at the end, in place of any of that name. No host reads it. */
  setCustomText(name, text) {
    const isOther = ([kind, data]) => kind !== CUSTOM || new Reader(data).name() !== name;
    const payload = Buffer.concat([sized(Buffer.from(name)), Buffer.from(text)]);
    this.sections = [...this.sections.filter(isOther), [CUSTOM, payload]];
  }

  toBytes() {
    return Buffer.concat([
      MAGIC,
      ...this.sections.map(([kind, data]) => Buffer.concat([Buffer.of(kind), sized(data)])),
    ]);
  }
}
