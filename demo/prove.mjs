// Proves for the demo: one question in JSON on standard input, one answer on standard output.
//   {"ask": "identity"}                         -> {"secret", "commitment"}
//   {"ask": "claims", "secret", "session_id", "pool_id", "rows", "leaves", "terms",
//    "recipient", "epoch"}                      -> {"version", "claims": [{"proof", "public_signals"}]}
// Numbers of the field are decimal strings. The secret stays between this process and the player.
import { readFile } from 'node:fs/promises';
import * as prover from '../web/prover/src/index.js';
import { prove } from '../web/prover/src/prove.js';

const ARTIFACTS = new URL('../circuits/artifacts/', import.meta.url);

async function artifacts() {
  const pins = JSON.parse(await readFile(new URL('pins.json', ARTIFACTS), 'utf8'));
  return prover.loadArtifacts(pins, (name) => readFile(new URL(name, ARTIFACTS)));
}

// A claim for each stretch whose leaf is in the tree and that reached a step.
async function claims(asked) {
  const rows = asked.rows.map(([nonce, deltaMs]) => ({ nonce: prover.fromHex(nonce), deltaMs }));
  const leaves = asked.leaves.map(BigInt);
  const secret = BigInt(asked.secret);
  const pool = prover.fromUuid(asked.pool_id);
  const commitment = prover.commitment(secret);
  const files = await artifacts();
  const proved = [];
  for (const [stretch, part] of prover.stretches(rows).entries()) {
    const session = prover.sessionElement(asked.session_id, stretch);
    const leaf = prover.leaf({ commitment, session, pool, chain: prover.chain(part) });
    const index = leaves.indexOf(leaf);
    const minPlayedMs = prover.claimStep(prover.playedMs(part), asked.terms.steps_ms);
    if (index < 0) throw new Error(`leaf ${leaf} is not in the tree`);
    if (minPlayedMs === undefined) continue;
    const { root, siblings } = prover.tree.path(leaves, index);
    const claim = {
      secret,
      session,
      pool,
      rows: part,
      index,
      siblings,
      root,
      minPlayedMs,
      maxGapMs: asked.terms.max_gap_ms,
      recipient: prover.fromUuid(asked.recipient),
      epoch: asked.epoch,
    };
    const found = await prove(claim, files);
    proved.push({ proof: found.proof, public_signals: found.publicSignals });
  }
  return { version: prover.STATEMENT, claims: proved };
}

function identity() {
  const { secret, commitment } = prover.newIdentity();
  return { secret: String(secret), commitment: String(commitment) };
}

let text = '';
for await (const part of process.stdin) text += part;
const asked = JSON.parse(text);
const answer = asked.ask === 'identity' ? identity() : await claims(asked);
// snarkjs may leave threads behind that would keep this process.
process.stdout.write(JSON.stringify(answer), () => process.exit(0));
