// Packs dist/herdgate.wasm as dist/herdgate-oci.tar, an OCI image layout of one image, in the form
// that Istio, Envoy Gateway and Higress read: the "compat" variant of the Wasm image specification,
// one layer with one file plugin.wasm.
//
//     scripts/image             the image, its sha256, and the module's SBOM (dist/herdgate.cdx.json)
//     scripts/image --no-sbom   without the SBOM, which needs cargo-cyclonedx
//
// The same module gives the same bytes on every machine: no time, no user, and no compressor, whose
// output differs from version to version.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { Module } from './wasm_module.mjs';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const MODULE = path.join(ROOT, 'dist/herdgate.wasm');
const IMAGE = path.join(ROOT, 'dist/herdgate-oci.tar');
const SBOM = path.join(ROOT, 'dist/herdgate.cdx.json');
const CYCLONEDX = path.join(ROOT, '.tools/cargo/bin/cargo-cyclonedx');

const OCI = 'application/vnd.oci.image';
const BLOCK = 512;
const STORED_MAX = 0xffff;

/** What can't go on, in one sentence for who called. */
class Failure extends Error {}

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
// Members in one order, whoever writes them.
const json = (value) => Buffer.from(JSON.stringify(value));

/** One entry of a tar archive (POSIX ustar) without a time and an owner. */
function entry(name, bytes) {
  const header = Buffer.alloc(BLOCK);
  const octal = (value, at, length) =>
    header.write(value.toString(8).padStart(length - 1, '0'), at, 'latin1');
  if (name.length > 100) throw new Error(`${name} is too long for a tar header`);
  header.write(name, 0, 'latin1');
  octal(0o644, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(bytes.length, 124, 12);
  octal(0, 136, 12);
  header.write('0', 156, 'latin1');
  header.write('ustar\0' + '00', 257, 'latin1');
  // The sum of all bytes, those of the sum itself taken as blanks.
  header.fill(' ', 148, 156);
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  header[154] = 0;
  const padding = Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK);
  return Buffer.concat([header, bytes, padding]);
}

function tar(files) {
  const entries = files.map(([name, bytes]) => entry(name, bytes));
  return Buffer.concat([...entries, Buffer.alloc(2 * BLOCK)]);
}

/** gzip (RFC 1952) around stored blocks (RFC 1951, section 3.2.4). */
function gzip(bytes) {
  const blocks = [Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff])];
  for (let at = 0; at < bytes.length; at += STORED_MAX) {
    const block = bytes.subarray(at, at + STORED_MAX);
    const head = Buffer.alloc(5);
    head[0] = at + STORED_MAX >= bytes.length ? 1 : 0;
    head.writeUInt16LE(block.length, 1);
    head.writeUInt16LE(block.length ^ STORED_MAX, 3);
    blocks.push(head, block);
  }
  // The checksum and the length, at the end of what any compressor makes of it.
  return Buffer.concat([...blocks, gzipSync(bytes, { level: 0 }).subarray(-8)]);
}

/** The image of a module, as the bytes of its layout and the digest of its manifest. */
export function image(module, version) {
  const blobs = new Map();
  const blob = (mediaType, bytes) => {
    blobs.set(sha256(bytes), bytes);
    return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length };
  };
  const files = tar([['plugin.wasm', module]]);
  const layer = blob(`${OCI}.layer.v1.tar+gzip`, gzip(files));
  const config = blob(
    `${OCI}.config.v1+json`,
    json({
      // It runs on none: but OCI tools refuse what they don't know, and this is what `docker build`
      // would write.
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(files)}`] },
    }),
  );
  const manifest = blob(
    `${OCI}.manifest.v1+json`,
    json({
      schemaVersion: 2,
      mediaType: `${OCI}.manifest.v1+json`,
      config,
      layers: [layer],
      annotations: {
        'module.wasm.image/variant': 'compat',
        'org.opencontainers.image.licenses': 'Apache-2.0',
        'org.opencontainers.image.title': 'herdgate',
        'org.opencontainers.image.version': version,
      },
    }),
  );
  // The layout's own list. What is pushed is the manifest: neither Istio nor Envoy Gateway finds a
  // platform of its own in an index.
  const index = {
    schemaVersion: 2,
    mediaType: `${OCI}.index.v1+json`,
    manifests: [{ ...manifest, annotations: { 'org.opencontainers.image.ref.name': version } }],
  };
  const layout = tar([
    ['oci-layout', json({ imageLayoutVersion: '1.0.0' })],
    ['index.json', json(index)],
    ...[...blobs].sort().map(([digest, bytes]) => [`blobs/sha256/${digest}`, bytes]),
  ]);
  return { layout, digest: manifest.digest };
}

/** What is in the module, as CycloneDX; the same for the same lock file and module. */
function sbom(version, module) {
  if (!existsSync(CYCLONEDX)) {
    throw new Failure('cargo-cyclonedx is missing: run `scripts/setup sbom`, or give --no-sbom.');
  }
  const made = path.join(ROOT, 'herdgate.cdx.json');
  const options = ['--format', 'json', '--spec-version', '1.5', '--target', 'wasm32-wasip1'];
  const { status, stderr } = spawnSync(
    CYCLONEDX,
    ['cyclonedx', ...options, '--no-build-deps', '--override-filename', 'herdgate.cdx'],
    // The time is left out, and with it the random serial number.
    { cwd: ROOT, encoding: 'utf8', env: { ...process.env, SOURCE_DATE_EPOCH: '0' } },
  );
  if (status !== 0) throw new Failure(`cargo-cyclonedx could not read Cargo.lock: ${stderr}`);
  const text = readFileSync(made, 'utf8');
  rmSync(made);
  // cargo-cyclonedx writes where the sources lie on this machine.
  const here = text.replaceAll(`path+file://${ROOT}`, 'pkg:cargo/herdgate');
  if (here.includes(ROOT)) throw new Failure('the SBOM names a folder of this machine');
  const document = JSON.parse(here);
  const { component } = document.metadata;
  if (component.version !== version) throw new Failure('the SBOM is of another version');
  component.hashes = [{ alg: 'SHA-256', content: sha256(module) }];
  writeFileSync(SBOM, `${JSON.stringify(document, null, 2)}\n`);
}

function main() {
  const given = process.argv.slice(2);
  if (given.some((option) => option !== '--no-sbom')) {
    throw new Failure('usage: scripts/image [--no-sbom]');
  }
  if (!existsSync(MODULE)) throw new Failure('dist/herdgate.wasm is missing: run `make build`.');
  const bytes = readFileSync(MODULE);
  const version = new Module(bytes).customText('herdgate.version');
  if (!version) throw new Failure('dist/herdgate.wasm names no version: run `make build`.');
  const { layout, digest } = image(bytes, version);
  writeFileSync(`${IMAGE}.new`, layout);
  renameSync(`${IMAGE}.new`, IMAGE);
  writeFileSync(`${IMAGE}.sha256`, `${sha256(layout)}  ${path.basename(IMAGE)}\n`);
  console.log(`image: dist/herdgate-oci.tar, herdgate ${version}, ${digest}`);
  console.log(`image: sha256 of the file ${sha256(layout)}, of the module ${sha256(bytes)}`);
  if (given.length === 0) {
    sbom(version, bytes);
    console.log('image: dist/herdgate.cdx.json, what is in the module (CycloneDX)');
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    main();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    console.error(`image: ${error.message}`);
    process.exitCode = 2;
  }
}
