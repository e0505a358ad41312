// Writes circomlib.json: what circomlibjs says of its constants and hashes. See README.md.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { buildPoseidon, buildPoseidonReference } from 'circomlibjs';

const ORDER = 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001n;
const MAX_INPUTS = 16;

// circomlibjs does not export its tables.
const source = readFileSync(
  new URL('../node_modules/circomlibjs/src/poseidon_constants.js', import.meta.url), 'utf8');
const tables = JSON.parse(source.slice(source.indexOf('{'), source.lastIndexOf('}') + 1));

// SHA-256 of the values as 32 bytes each, big endian.
function digest(values) {
  const hash = createHash('sha256');
  for (const value of values) hash.update(Buffer.from(BigInt(value).toString(16).padStart(64, '0'), 'hex'));
  return hash.digest('hex');
}

// Elements that anyone can make again: SHA-256 of "k:row:column" mod r.
function element(...place) {
  return BigInt('0x' + createHash('sha256').update(place.join(':')).digest('hex')) % ORDER;
}

const constants = {};
for (let width = 2; width <= MAX_INPUTS + 1; width++) {
  const [rounds, mix] = [tables.C[width - 2], tables.M[width - 2].flat()];
  constants[width] = { round_constants: digest(rounds), mix: digest(mix) };
}

const [reference, optimised] = [await buildPoseidonReference(), await buildPoseidon()];
const hashes = [];
for (let k = 1; k <= MAX_INPUTS; k++) {
  const places = [...Array(k).keys()];
  const rows = [places.map((i) => BigInt(i + 1)), places.map(() => 0n), places.map(() => ORDER - 1n)];
  for (let row = 0; row < 3; row++) rows.push(places.map((i) => element(k, row, i)));
  for (const inputs of rows) {
    const hash = reference.F.toString(reference(inputs));
    if (hash !== optimised.F.toString(optimised(inputs))) throw new Error('circomlibjs disagrees with itself');
    hashes.push({ inputs: inputs.map(String), hash });
  }
}
const lines = hashes.map((one) => '    ' + JSON.stringify(one)).join(',\n');
writeFileSync(new URL('circomlib.json', import.meta.url),
  `{\n  "constants_sha256": ${JSON.stringify(constants)},\n  "hashes": [\n${lines}\n  ]\n}\n`);
process.exit(0);
