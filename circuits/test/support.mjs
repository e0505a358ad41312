// Builds for the tests, made once for the present sources, and witnesses set by hand.
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { WitnessCalculatorBuilder } from 'circom_runtime';
import * as snarkjs from 'snarkjs';
import * as listening from '../../web/prover/src/index.js';
import { CIRCUITS, circom, compile } from '../compile.mjs';
import { broken, mod, readR1cs, readSymbols, wiresOf, writeWitness } from '../r1cs.mjs';

export const STATEMENT = 'listen-v1';
const CACHE = join(CIRCUITS, '..', '.cache', 'circuits');

// The folder that `make(folder)` fills, kept for as long as its sources stay the same.
function once(name, sources, make) {
  const hash = createHash('sha256');
  for (const path of sources) hash.update(readFileSync(join(CIRCUITS, path)));
  const folder = join(CACHE, `${name}-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(folder)) return folder;
  const made = `${folder}.${process.pid}`;
  rmSync(made, { recursive: true, force: true });
  mkdirSync(made, { recursive: true });
  make(made);
  try {
    renameSync(made, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error; // another process was faster
    rmSync(made, { recursive: true });
  }
  const ofOldSources = new RegExp(`^${name}-[0-9a-f]{16}$`);
  for (const old of readdirSync(CACHE)) {
    if (ofOldSources.test(old) && old !== basename(folder)) rmSync(join(CACHE, old), { recursive: true });
  }
  return folder;
}

const SOURCES = ['listen.circom', 'listen-v1.circom', 'compile.mjs', 'package-lock.json'];

export function built() {
  return once(STATEMENT, SOURCES, (folder) => compile(STATEMENT, folder));
}

/** A circuit of a few lines: {r1cs, wireOf}. */
export function small(name, source) {
  const text = `pragma circom 2.1.6;\n${source}`;
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 16);
  const folder = once(`small-${name}-${digest}`, SOURCES, (made) => {
    const library = join(made, 'circomlib', 'circuits');
    cpSync(join(CIRCUITS, 'node_modules', 'circomlib', 'circuits'), library, { recursive: true });
    cpSync(join(CIRCUITS, 'listen.circom'), join(made, 'listen.circom'));
    writeFileSync(join(made, 'main.circom'), text);
    circom(['main.circom', '--r1cs', '--sym', '--O2', '-l', '.', '-o', '.'], made);
    rmSync(join(made, 'circomlib'), { recursive: true });
  });
  return { r1cs: readR1cs(join(folder, 'main.r1cs')), wireOf: readSymbols(join(folder, 'main.sym')) };
}

// The same circuit with every `===` of ours and of Num2Bits taken out: a calculator that carries any
// input through to the end, where circom's own stops at the first constraint that fails. Without
// simplification, so that every signal has its value in the result.
function lenient() {
  return once(`${STATEMENT}-lenient`, SOURCES, (folder) => {
    const library = join(folder, 'circomlib', 'circuits');
    cpSync(join(CIRCUITS, 'node_modules', 'circomlib', 'circuits'), library, { recursive: true });
    const strip = (from, to) => {
      const lines = readFileSync(from, 'utf8').split('\n');
      writeFileSync(to, lines.filter((line) => !line.includes('===')).join('\n'));
    };
    strip(join(CIRCUITS, 'listen.circom'), join(folder, 'listen.circom'));
    strip(join(library, 'bitify.circom'), join(library, 'bitify.circom'));
    cpSync(join(CIRCUITS, `${STATEMENT}.circom`), join(folder, `${STATEMENT}.circom`));
    circom([`${STATEMENT}.circom`, '--wasm', '--sym', '--O0', '-l', '.', '-o', '.'], folder);
  });
}

/** The compiled circuit, and ways to make witnesses of it that need not be honest. */
export class Bench {
  static async open() {
    const bench = new Bench();
    bench.r1csPath = join(built(), `${STATEMENT}.r1cs`);
    bench.r1cs = readR1cs(bench.r1csPath);
    bench.wireOf = readSymbols(join(built(), `${STATEMENT}.sym`));
    bench.nameOf = new Map([...bench.wireOf].map(([name, wire]) => [wire, name]));
    bench.lenientWires = readSymbols(join(lenient(), `${STATEMENT}.sym`));
    const calculator = (path) => WitnessCalculatorBuilder(readFileSync(path));
    bench.calculator = await calculator(join(built(), `${STATEMENT}.wasm`));
    bench.lenientCalculator = await calculator(
      join(lenient(), `${STATEMENT}_js`, `${STATEMENT}.wasm`),
    );
    return bench;
  }

  /** Witness of circom's own calculator; throws where it refuses. */
  strict(inputs) {
    return this.calculator.calculateWitness(inputs);
  }

  /**
   * What follows from the inputs, constraints or not. With `ownTree` the public root is that of
   * whatever leaf came out, so that the tree is not what gives a cheat on rows away.
   */
  async lenient(inputs, { ownTree = false } = {}) {
    const all = await this.lenientCalculator.calculateWitness(inputs);
    const witness = Array(this.r1cs.wires).fill(0n);
    witness[0] = 1n;
    for (const [name, wire] of this.wireOf) witness[wire] = all[this.lenientWires.get(name)];
    if (ownTree) {
      witness[this.wireOf.get('main.root')] = all[this.lenientWires.get('main.tree.root')];
    }
    return witness;
  }

  /** Sets signals by name. One that the compiler replaced by others has no wire and is skipped. */
  set(witness, values) {
    for (const [name, value] of Object.entries(values)) {
      const wire = this.wireOf.get(`main.${name}`);
      if (wire !== undefined) witness[wire] = mod(BigInt(value));
    }
    return witness;
  }

  /** snarkjs's verdict (a second or so; `broken` reads the same constraints faster). */
  accepts(witness) {
    const quiet = { info() {}, warn() {} }; // without a logger it throws where it refuses
    const file = { type: 'mem', data: writeWitness(witness) };
    return snarkjs.wtns.check(this.r1csPath, file, quiet);
  }

  /** The broken constraints, each as the names of the signals in it. */
  broken(witness) {
    return broken(this.r1cs, witness).map((i) => {
      const wires = [...wiresOf(this.r1cs.constraints[i])].filter((wire) => wire !== 0);
      return wires.map((wire) => this.nameOf.get(wire).slice('main.'.length));
    });
  }
}

/** Binary digits of a range check as signals by name. */
export function digitsOf(name, value, bits) {
  const digits = {};
  for (let j = 0; j < bits; j++) {
    digits[`${name}.decomposition.out[${j}]`] = (BigInt(value) >> BigInt(j)) & 1n;
  }
  return digits;
}

export const MAX_GAP_MS = 10_500;

/** A claim of `deltas` about an own tree; `change` may alter it before the tree is built. */
export function claimOf(deltas, change = {}) {
  const secret = change.secret ?? 111_222_333n;
  const owner = change.owner ?? secret;
  const session = listening.sessionElement('01890a5d-ac96-774b-bcce-b302099a8057', 2);
  const pool = listening.fromUuid('01890a5d-ac96-7745-8000-b302099a8057');
  const rows = deltas.map((deltaMs, i) => ({ nonce: 2n ** 247n + BigInt(i), deltaMs }));
  const leaf = listening.leaf({
    commitment: listening.commitment(owner),
    session,
    pool,
    chain: listening.chain(rows),
  });
  const index = change.index ?? 5;
  const siblings = Array.from({ length: listening.DEPTH }, (_, i) => BigInt(1000 + i));
  return {
    ...{ secret, session, pool, rows, index, siblings },
    root: listening.rootFrom(leaf, index, siblings),
    minPlayedMs: change.minPlayedMs ?? listening.playedMs(rows),
    maxGapMs: change.maxGapMs ?? MAX_GAP_MS,
    recipient: 2n ** 127n + 9n,
    epoch: 7n,
  };
}

/** The circuit's inputs of a claim without any of the prover's checks. */
export function inputsOf(claim, change = {}) {
  const { rows, ...rest } = claim;
  const at = (i) => rows[i] ?? { nonce: 0n, deltaMs: 0 };
  const indices = Array.from({ length: listening.ROWS }, (_, i) => i);
  const all = {
    ...rest,
    nonce: indices.map((i) => at(i).nonce),
    deltaMs: indices.map((i) => at(i).deltaMs),
    ...change,
  };
  return JSON.parse(JSON.stringify(all, (_, v) => (typeof v === 'bigint' ? v.toString() : v)));
}
