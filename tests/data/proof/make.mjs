// Makes vectors.json: node tests/data/proof/make.mjs (after `npm ci` in web/prover).
//
// Inputs are fixed (derived from labels by SHA-256); proofs are random, so a new run gives other
// proofs of the same statements. Each is verified before it is written.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import * as listening from '../../../web/prover/src/index.js';
import { prove, verify } from '../../../web/prover/src/prove.js';

const ARTIFACTS = new URL('../../../circuits/artifacts/', import.meta.url);
const require = createRequire(new URL('../../../web/prover/src/index.js', import.meta.url));
const STEPS_MS = [30_000, 60_000, 120_000, 180_000, 300_000, 600_000];

const digest = (label) => createHash('sha256').update(label).digest('hex');
const field = (label) => BigInt(`0x${digest(label)}`) >> 4n; // 252 bits
const uuid = (label) => digest(label).replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-7$3-8$4-$5');
const hex = (number, bytes) => number.toString(16).padStart(2 * bytes, '0');

function poseidonCases() {
  const cases = [];
  for (let count = 1; count <= 16; count++) {
    const hash = require(`poseidon-lite/poseidon${count}`)[`poseidon${count}`];
    const ordered = Array.from({ length: count }, (_, i) => BigInt(i + 1));
    const edge = Array.from({ length: count }, (_, i) => (i % 2 ? 0n : listening.ORDER - 1n));
    const mixed = Array.from({ length: count }, (_, i) => field(`poseidon ${count} ${i}`));
    for (const inputs of [ordered, edge, mixed]) cases.push({ inputs, hash: hash(inputs) });
  }
  return cases;
}

function treeCases() {
  return [0, 1, 2, 3, 5, 8, 13].map((size) => {
    const leaves = Array.from({ length: size }, (_, i) => field(`leaf ${i}`));
    const paths = [0, size >> 1, size - 1]
      .filter((index, at, all) => index >= 0 && index < size && all.indexOf(index) === at)
      .map((index) => ({ index, siblings: listening.tree.path(leaves, index).siblings }));
    return { leaves, root: listening.tree.root(leaves), paths };
  });
}

function rowsOf(label, deltas) {
  // 31 bytes big endian, as the server's tickets are.
  return deltas.map((deltaMs, i) => ({ nonce: field(`${label} nonce ${i}`) >> 4n, deltaMs }));
}

const repeat = (count, value) => Array.from({ length: count }, () => value);

// name, deltas, stretch, leaf's index, leaves in the tree, greatest gap
const STORIES = [
  ['half a short song', [10_012, 9_980, 10_400], 0, 0, 1, 10_500],
  ['one long beat', [65_535], 0, 4, 5, 65_535],
  ['a song of three minutes', [...repeat(17, 10_000), 9_731, 512], 0, 11, 16, 10_500],
  ['a full stretch', repeat(72, 10_500), 1, 2, 3, 10_500],
  ['the last stretch of a session', [...repeat(30, 9_999), 1], 9, 699, 700, 10_500],
];

async function proofCase([name, deltas, stretch, index, size, maxGapMs], artifacts, key) {
  const secret = field(`${name} secret`);
  const [sessionId, poolId, recipientId] = ['session', 'pool', 'recipient'].map((of) =>
    uuid(`${name} ${of}`),
  );
  const session = listening.sessionElement(sessionId, stretch);
  const pool = listening.fromUuid(poolId);
  const rows = rowsOf(name, deltas);
  const chain = listening.chain(rows);
  const commitment = listening.commitment(secret);
  const leaf = listening.leaf({ commitment, session, pool, chain });
  const leaves = Array.from({ length: size }, (_, i) => (i === index ? leaf : field(`${name} ${i}`)));
  const { root, siblings } = listening.tree.path(leaves, index);
  const recipient = listening.fromUuid(recipientId);
  const played = listening.playedMs(rows);
  const minPlayedMs = listening.claimStep(played, STEPS_MS) ?? played;
  const epoch = 7n;
  const claim = {
    ...{ secret, session, pool, rows, index, siblings, root },
    ...{ minPlayedMs, maxGapMs, recipient, epoch },
  };
  const started = performance.now();
  const proved = await prove(claim, artifacts);
  console.log(`${name}: ${rows.length} rows, proved in ${Math.round(performance.now() - started)} ms`);
  const nullifier = listening.nullifier(secret, session);
  const signals = [nullifier, root, minPlayedMs, maxGapMs, recipient, epoch].map(String);
  if (String(signals) !== String(proved.publicSignals)) throw new Error(`${name}: other signals`);
  if (!(await verify(key, proved))) throw new Error(`${name}: not valid`);
  return {
    name,
    secret,
    commitment,
    session_id: sessionId,
    stretch,
    session,
    pool_id: poolId,
    pool,
    rows: rows.map(({ nonce, deltaMs }) => ({ nonce: hex(nonce, 31), delta_ms: deltaMs })),
    played_ms: played,
    chain,
    leaf,
    tree: { size, index, siblings, root },
    nullifier,
    min_played_ms: minPlayedMs,
    max_gap_ms: maxGapMs,
    recipient_id: recipientId,
    recipient,
    epoch: Number(epoch),
    public_signals: proved.publicSignals,
    proof: proved.proof,
  };
}

const pins = JSON.parse(readFileSync(new URL('pins.json', ARTIFACTS)));
const artifacts = await listening.loadArtifacts(pins, async (name) =>
  readFileSync(new URL(name, ARTIFACTS)),
);
const key = JSON.parse(readFileSync(new URL('listen-v1/verification_key.json', ARTIFACTS)));
const proofs = [];
for (const story of STORIES) proofs.push(await proofCase(story, artifacts, key));
const vectors = {
  about: 'Field elements are decimal strings. Made by tests/data/proof/make.mjs.',
  statement: listening.STATEMENT,
  order: listening.ORDER,
  poseidon: poseidonCases(),
  empty: listening.tree.EMPTY,
  trees: treeCases(),
  proofs,
};
const plain = (_, value) => (typeof value === 'bigint' ? String(value) : value);
writeFileSync(new URL('vectors.json', import.meta.url), `${JSON.stringify(vectors, plain, 1)}\n`);
await globalThis.curve_bn128?.terminate(); // snarkjs's threads keep node alive
