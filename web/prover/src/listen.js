// Statement `listen-v1` outside the circuit: what docs/decisions/0008-listening-proof.md defines,
// computed from a listener's own tickets.
import { poseidon1 } from 'poseidon-lite/poseidon1';
import { poseidon14 } from 'poseidon-lite/poseidon14';
import { poseidon2 } from 'poseidon-lite/poseidon2';
import { poseidon4 } from 'poseidon-lite/poseidon4';
import { element, fromUuid, randomElement } from './field.js';

export const STATEMENT = 'listen-v1';
export const ROWS = 72;
export const DEPTH = 20;
export const MAX_DELTA_MS = 65_535;

const CHUNK = 12;
const STRETCHES = 256;

/** A fresh identity. The secret never leaves the client; the commitment is registered. */
export function newIdentity() {
  const secret = randomElement();
  return { secret, commitment: commitment(secret) };
}

export function commitment(secret) {
  return poseidon1([element(secret, 'secret')]);
}

/** The session as a field element: its UUID's number * 256 + the stretch (0..255). */
export function sessionElement(sessionId, stretch = 0) {
  if (!Number.isInteger(stretch) || stretch < 0 || stretch >= STRETCHES) {
    throw new RangeError(`a stretch is a whole number below ${STRETCHES}`);
  }
  return fromUuid(sessionId) * BigInt(STRETCHES) + BigInt(stretch);
}

/** The rows of a session, oldest first, cut into stretches of up to ROWS. */
export function stretches(rows) {
  const cut = [];
  for (let start = 0; start < rows.length; start += ROWS) cut.push(rows.slice(start, start + ROWS));
  return cut;
}

function checkRows(rows) {
  if (rows.length > ROWS) throw new RangeError(`a stretch has at most ${ROWS} rows`);
  for (const { nonce, deltaMs } of rows) {
    element(nonce, 'nonce');
    if (!Number.isInteger(deltaMs) || deltaMs < 1 || deltaMs > MAX_DELTA_MS) {
      throw new RangeError(`deltaMs is a whole number from 1 to ${MAX_DELTA_MS}`);
    }
  }
}

/** Nonces and deltas of a stretch, filled up to ROWS with empty rows. */
export function columns(rows) {
  checkRows(rows);
  const at = (i) => rows[i] ?? { nonce: 0n, deltaMs: 0 };
  const indices = Array.from({ length: ROWS }, (_, i) => i);
  return {
    nonce: indices.map((i) => element(at(i).nonce)),
    deltaMs: indices.map((i) => BigInt(at(i).deltaMs)),
  };
}

/** The rows folded into one element: Poseidon over chunks of twelve, empty rows included. */
export function chain(rows) {
  const { nonce, deltaMs } = columns(rows);
  let folded = 0n;
  for (let start = 0; start < ROWS; start += CHUNK) {
    let packed = 0n;
    for (let j = CHUNK - 1; j >= 0; j--) packed = (packed << 16n) | deltaMs[start + j];
    folded = poseidon14([folded, ...nonce.slice(start, start + CHUNK), packed]);
  }
  return folded;
}

/** Played time of a stretch in milliseconds. */
export function playedMs(rows) {
  return rows.reduce((sum, { deltaMs }) => sum + deltaMs, 0);
}

/** The stretch's leaf. All arguments are field elements. */
export function leaf({ commitment: owner, session, pool, chain: folded }) {
  return poseidon4([
    element(owner, 'commitment'),
    element(session, 'session'),
    element(pool, 'pool'),
    element(folded, 'chain'),
  ]);
}

/** What is spent by a claim: the same for every proof about one stretch of one identity. */
export function nullifier(secret, session) {
  return poseidon2([element(secret, 'secret'), element(session, 'session')]);
}

/** The root above a leaf at `index` with the siblings on its way up (DEPTH of them). */
export function rootFrom(start, index, siblings) {
  if (siblings.length !== DEPTH) throw new RangeError(`a path has ${DEPTH} siblings`);
  if (!Number.isInteger(index) || index < 0 || index >= 2 ** DEPTH) {
    throw new RangeError('no such leaf');
  }
  return siblings.reduce((node, sibling, level) => {
    const other = element(sibling, 'sibling');
    return (index >> level) & 1 ? poseidon2([other, node]) : poseidon2([node, other]);
  }, element(start, 'leaf'));
}

/**
 * The greatest of the public steps (milliseconds, any order) that a stretch reached, or undefined.
 * Claiming a step and not the exact time keeps the time from naming the session.
 */
export function claimStep(played, steps) {
  const reached = steps.filter((step) => step <= played);
  return reached.length ? Math.max(...reached) : undefined;
}
