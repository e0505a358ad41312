// The circuit's inputs for one claim, checked before any work is done.
import { element } from './field.js';
import * as listen from './listen.js';

/** Why a claim cannot be proved. `code` is stable. */
export class CannotProve extends Error {
  constructor(code, message) {
    super(message);
    this.name = 'CannotProve';
    this.code = code;
  }
}

function refuseUnless(holds, code, message) {
  if (!holds) throw new CannotProve(code, message);
}

/** Inputs by signal name, as decimal strings: what snarkjs takes. */
export function buildInputs(claim) {
  const { secret, session, pool, rows, index, siblings, root } = claim;
  const { minPlayedMs, maxGapMs, recipient, epoch } = claim;
  const { nonce, deltaMs } = listen.columns(rows);
  refuseUnless(
    listen.playedMs(rows) >= minPlayedMs,
    'played-too-short',
    `the stretch played ${listen.playedMs(rows)} ms, less than ${minPlayedMs}`,
  );
  refuseUnless(
    rows.every((row) => row.deltaMs <= maxGapMs),
    'gap-too-long',
    `a beat credits more than ${maxGapMs} ms`,
  );
  const leaf = listen.leaf({
    commitment: listen.commitment(secret),
    session,
    pool,
    chain: listen.chain(rows),
  });
  refuseUnless(
    listen.rootFrom(leaf, index, siblings) === element(root, 'root'),
    'leaf-not-in-tree',
    'the stretch is not at this place of a tree with this root',
  );
  const text = (value, name) => element(value, name).toString();
  return {
    root: text(root, 'root'),
    minPlayedMs: text(minPlayedMs, 'minPlayedMs'),
    maxGapMs: text(maxGapMs, 'maxGapMs'),
    recipient: text(recipient, 'recipient'),
    epoch: text(epoch, 'epoch'),
    secret: text(secret, 'secret'),
    session: text(session, 'session'),
    pool: text(pool, 'pool'),
    nonce: nonce.map(String),
    deltaMs: deltaMs.map(String),
    index: text(index, 'index'),
    siblings: siblings.map((sibling) => text(sibling, 'sibling')),
  };
}
