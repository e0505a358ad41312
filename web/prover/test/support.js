import { readFileSync } from 'node:fs';
import { loadArtifacts } from '../src/index.js';

const ROOT = new URL('../../../', import.meta.url);
export const ARTIFACTS = new URL('circuits/artifacts/', ROOT);
export const pins = JSON.parse(readFileSync(new URL('pins.json', ARTIFACTS)));
export const read = async (name) => readFileSync(new URL(name, ARTIFACTS));
export const artifacts = () => loadArtifacts(pins, read);

export const verificationKey = JSON.parse(
  readFileSync(new URL('listen-v1/verification_key.json', ARTIFACTS)),
);
export const vectors = JSON.parse(readFileSync(new URL('tests/data/proof/vectors.json', ROOT)));

/** A golden proof's claim. */
export function claimOf(golden) {
  return {
    secret: BigInt(golden.secret),
    session: BigInt(golden.session),
    pool: BigInt(golden.pool),
    rows: golden.rows.map(({ nonce, delta_ms: deltaMs }) => ({ nonce: BigInt(`0x${nonce}`), deltaMs })),
    index: golden.tree.index,
    siblings: golden.tree.siblings.map(BigInt),
    root: BigInt(golden.tree.root),
    minPlayedMs: golden.min_played_ms,
    maxGapMs: golden.max_gap_ms,
    recipient: BigInt(golden.recipient),
    epoch: golden.epoch,
  };
}
