// The circuit's files, by version and checked against their pinned hashes.
import { STATEMENT } from './listen.js';

/** A file is not the pinned one. */
export class WrongArtifact extends Error {
  constructor(name) {
    super(`${name} is not the file that is pinned`);
    this.name = 'WrongArtifact';
    this.code = 'wrong-artifact';
  }
}

async function sha256(bytes) {
  const digest = new Uint8Array(await globalThis.crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * Reads witness calculator and proving key with `read(name)` (a promise of bytes) and compares
 * them with `pins` (circuits/artifacts/pins.json, which the application must carry itself).
 */
export async function loadArtifacts(pins, read, version = STATEMENT) {
  const pinned = pins[version];
  if (!pinned) throw new RangeError(`no artifacts of version ${version}`);
  const load = async (name) => {
    const bytes = new Uint8Array(await read(`${version}/${name}`));
    if ((await sha256(bytes)) !== pinned[name].sha256) throw new WrongArtifact(name);
    return bytes;
  };
  const [wasm, zkey] = await Promise.all([load('listen.wasm'), load('listen.zkey')]);
  return { version, wasm, zkey };
}

/** A reader for `loadArtifacts` below a URL. */
export function fetchFrom(base) {
  return async (name) => {
    const answer = await fetch(new URL(name, base));
    if (!answer.ok) throw new Error(`${name}: HTTP ${answer.status}`);
    return answer.arrayBuffer();
  };
}
