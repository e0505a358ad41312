// Proves for the demo: one question in JSON on standard input, one answer on standard output.
//   {"ask": "identity"}                         -> {"secret", "commitment"}
//   {"ask": "leaf", "secret", "session_id", "pool_id", "rows"} -> {"leaf"}: of its first stretch
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

// The session's stretches, each with its leaf.
function stretches({ secret, session_id: sessionId, pool_id: poolId, rows }) {
  const commitment = prover.commitment(BigInt(secret));
  const pool = prover.fromUuid(poolId);
  const own = rows.map(([nonce, deltaMs]) => ({ nonce: prover.fromHex(nonce), deltaMs }));
  return prover.stretches(own).map((part, stretch) => {
    const session = prover.sessionElement(sessionId, stretch);
    const leaf = prover.leaf({ commitment, session, pool, chain: prover.chain(part) });
    return { session, pool, rows: part, leaf };
  });
}

// A claim for each stretch that reached a step.
async function claims(asked) {
  const leaves = asked.leaves.map(BigInt);
  const files = await artifacts();
  const proved = [];
  for (const { leaf, ...part } of stretches(asked)) {
    const minPlayedMs = prover.claimStep(prover.playedMs(part.rows), asked.terms.steps_ms);
    if (minPlayedMs === undefined) continue;
    const index = leaves.indexOf(leaf);
    if (index < 0) throw new Error(`leaf ${leaf} is not in the tree`);
    const claim = {
      ...part,
      ...prover.tree.path(leaves, index),
      secret: BigInt(asked.secret),
      index,
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
const answers = { identity, leaf: () => ({ leaf: String(stretches(asked)[0].leaf) }), claims };
const answer = await answers[asked.ask](asked);
// snarkjs may leave threads behind that would keep this process.
process.stdout.write(JSON.stringify(answer), () => process.exit(0));
