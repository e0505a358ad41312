// circomlibjs's Poseidon (WebAssembly) in a process that stays warm, for benchmarks/poseidon.py.
//
//     node poseidon.mjs
//
// Says `ready`, then takes lines `INPUTS COUNT`: hashes so many rows of so many inputs. Answers with
// the seconds that took and the last hash. Ends when its input ends.
import { createInterface } from 'node:readline';
import { buildPoseidon } from 'circomlibjs';

const poseidon = await buildPoseidon();

function hashes(inputs, count) {
  const elements = [...Array(inputs + count).keys()].map((i) => poseidon.F.e(i));
  const began = process.hrtime.bigint();
  let hash;
  for (let row = 0; row < count; row++) hash = poseidon(elements.slice(row, row + inputs));
  return [Number(process.hrtime.bigint() - began) / 1e9, poseidon.F.toString(hash)];
}

hashes(2, 2000); // until the engine has optimised it
console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(hashes(...line.split(' ').map(Number))));
}
process.exit(0);
