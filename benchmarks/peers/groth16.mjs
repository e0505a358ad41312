// snarkjs's groth16.verify in a process that stays warm, for benchmarks/groth16.py.
//
//     node groth16.mjs KEY PROOFS
//
// Says `ready`, then takes lines: how many proofs to verify. Answers with the seconds of each.
// Ends when its input ends.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import * as snarkjs from 'snarkjs';

const [key, proofs] = process.argv.slice(2).map((file) => JSON.parse(readFileSync(file, 'utf8')));
let at = 0;

async function verify() {
  const { proof, publicSignals } = proofs[at++ % proofs.length];
  const began = process.hrtime.bigint();
  const valid = await snarkjs.groth16.verify(key, publicSignals, proof);
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  if (!valid) throw new Error('snarkjs refuses an honest proof');
  return seconds;
}

const wrong = structuredClone(proofs[0]);
wrong.publicSignals[0] = String(BigInt(wrong.publicSignals[0]) + 1n);
if (await snarkjs.groth16.verify(key, wrong.publicSignals, wrong.proof)) throw new Error('it accepts anything');
for (let turn = 0; turn < 10; turn++) await verify(); // until the engine has optimised it
console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const seconds = [];
  for (let turn = 0; turn < Number(line); turn++) seconds.push(await verify());
  console.log(JSON.stringify(seconds));
}
process.exit(0);
