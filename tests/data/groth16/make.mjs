// Makes circuits' keys and proofs with circom2 and snarkjs, honest and tampered. See README.md.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildPoseidon } from 'circomlibjs';
import * as snarkjs from 'snarkjs';
import { tampered, tamperedKeys } from './tamper.mjs';

const POWER = 10;
const ORDER = 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001n;
const here = fileURLToPath(new URL('.', import.meta.url));
const parent = join(here, '..');
const scratch = mkdtempSync(join(tmpdir(), 'groth16-vectors-'));
const file = (name) => join(scratch, name);

const poseidon = await buildPoseidon();
const hash = (...inputs) => BigInt(poseidon.F.toString(poseidon(inputs)));

function membership(secret, held, epoch, right) {
  return { least: 5, most: 65540, recipient: ORDER - 1n, epoch, secret, held, right: [right], siblings: [ORDER - 1n] };
}

// Witnesses by circuit, with small values, zeros and values next to the order among them.
const INPUTS = {
  public0: [{ a: 3 }, { a: 3 }],
  public1: [{ a: 6, b: 7 }, { a: 0, b: 5 }, { a: ORDER - 1n, b: 1 }, { a: 2n ** 200n, b: 2n ** 53n }],
  public2: [{ secret: 1, salt: 2 }, { secret: 0, salt: 0 }, { secret: ORDER - 1n, salt: ORDER - 1n }],
  public6: [membership(7n, 5, 1n, 0), membership(9n, 65000, 0n, 1),
    membership(hash(1n), 1234, ORDER - 2n, 1)],
  public9: [...Array(20).keys()].map((n) => (
    { values: [...Array(8).keys()].map((i) => hash(BigInt(n), BigInt(i))), secret: hash(BigInt(n)) })),
  public40: [{ values: Array(39).fill(0), secret: 1 }, { values: Array(39).fill(ORDER - 1n), secret: 3 },
    { values: [...Array(39).keys()], secret: ORDER - 5n }],
};

async function powersOfTau() {
  const curve = await snarkjs.curves.getCurveFromName('bn128');
  await snarkjs.powersOfTau.newAccumulator(curve, POWER, file('pot0'));
  await snarkjs.powersOfTau.contribute(file('pot0'), file('pot1'), 'vectors', 'test vectors only');
  await snarkjs.powersOfTau.preparePhase2(file('pot1'), file('pot'));
  return curve;
}

// {key, unfinished, proofs} of a circuit; `unfinished` is its key before any phase 2 contribution.
async function proveCircuit(name) {
  // The compiler sees only what lies below the folder it runs in, or beside its parents.
  const compiler = [join('node_modules', 'circom2', 'cli.js'), join('groth16', 'circuits', `${name}.circom`)];
  execFileSync(process.execPath, [...compiler, '--r1cs', '--wasm', '--O2', '-l', 'node_modules', '-o', scratch],
    { cwd: parent, stdio: ['ignore', 'ignore', 'inherit'] });
  await snarkjs.zKey.newZKey(file(`${name}.r1cs`), file('pot'), file(`${name}.0`));
  await snarkjs.zKey.contribute(file(`${name}.0`), file(`${name}.1`), 'vectors', 'test vectors only');
  const unfinished = await snarkjs.zKey.exportVerificationKey(file(`${name}.0`));
  const key = await snarkjs.zKey.exportVerificationKey(file(`${name}.1`));
  const proofs = [];
  for (const inputs of INPUTS[name]) {
    const wasm = join(scratch, `${name}_js`, `${name}.wasm`);
    const proved = await snarkjs.groth16.fullProve(inputs, wasm, file(`${name}.1`));
    if (!await snarkjs.groth16.verify(key, proved.publicSignals, proved.proof)) throw new Error(name);
    proofs.push({ proof: proved.proof, publicSignals: proved.publicSignals });
  }
  return { key, unfinished, proofs };
}

// What snarkjs says: "true", "false", or that it threw. It is quiet about why.
async function verdict(key, one) {
  try {
    return String(await snarkjs.groth16.verify(key, one.publicSignals, one.proof));
  } catch {
    return 'threw';
  }
}

const write = (name, value) => writeFileSync(join(here, name), value);
const lines = (rows) => `[\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]\n`;

const curve = await powersOfTau();
const made = {};
for (const name of Object.keys(INPUTS)) {
  made[name] = await proveCircuit(name);
  write(`${name}.key.json`, `${JSON.stringify(made[name].key, null, 1)}\n`);
  write(`${name}.proofs.json`, lines(made[name].proofs));
  console.log(name, made[name].key.IC.length - 1, 'public signals,', made[name].proofs.length, 'proofs');
}
const cases = [];
for (const name of ['public1', 'public6', 'public9']) {
  for (const one of await tampered(curve, made[name].key, made[name].proofs)) {
    cases.push({ key: name, ...one, snarkjs: await verdict(made[name].key, one) });
  }
}
write('tampered.json', lines(cases));
write('keys.json', lines(await tamperedKeys(curve, made.public2.key, made.public2.unfinished)));
rmSync(scratch, { recursive: true });
process.exit(0);
