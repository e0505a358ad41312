// The trusted setup of a statement. docs/ceremony.md is the guide for running it among real parties.
//
//   node ceremony.mjs develop STATEMENT              all roles played here: for development only
//   node ceremony.mjs publish STATEMENT PTAU ZKEY    check others' work, write artifacts and transcript
//   node ceremony.mjs check STATEMENT PTAU           check the committed artifacts from the sources
//
// Options: --work FOLDER (default .cache), --artifacts FOLDER (default circuits/artifacts),
//          --by TEXT (who ran it, for the transcript),
//          --beacon HEX (32 public bytes that nobody could know when the contributions were made),
//          --replace (a published version is for ever: proofs and claims name it. Without this
//          flag its artifacts are not overwritten).
import { createHash, randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import * as snarkjs from 'snarkjs';
import { CIRCUITS, compile } from './compile.mjs';

const PHASE_1_CONTRIBUTIONS = 2;
const PHASE_2_CONTRIBUTIONS = 3;
const BEACON_ITERATIONS_EXP = 10; // 2^10 iterations of SHA-256

const sha256 = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');
const say = (line) => console.log(`${new Date().toISOString().slice(11, 19)} ${line}`);
// snarkjs stirs this into randomness of its own from the same source.
const entropy = () => randomBytes(64).toString('hex');

// snarkjs tells hashes and reasons only through its logger: keep what it says.
function listener() {
  const lines = [];
  const take = (line) => lines.push(String(line));
  return { lines, info: take, warn: take, error: take, debug: () => {} };
}

// Powers of tau: the universal phase. The power is that of the smallest domain that holds the
// constraints and, as Groth16 in snarkjs needs one more each, the public signals and the constant.
async function phase1(power, work) {
  const curve = await snarkjs.curves.getCurveFromName('bn128');
  const file = (name) => join(work, `powers-of-tau-${name}.ptau`);
  say(`phase 1: powers of tau, 2^${power}`);
  await snarkjs.powersOfTau.newAccumulator(curve, power, file(0));
  for (let i = 0; i < PHASE_1_CONTRIBUTIONS; i++) {
    say(`phase 1: contribution ${i + 1} of ${PHASE_1_CONTRIBUTIONS}`);
    await snarkjs.powersOfTau.contribute(file(i), file(i + 1), `development ${i + 1}`, entropy());
  }
  say('phase 1: beacon');
  const beacon = randomBytes(32).toString('hex');
  const last = file(PHASE_1_CONTRIBUTIONS);
  await snarkjs.powersOfTau.beacon(last, file('beacon'), 'beacon', beacon, BEACON_ITERATIONS_EXP);
  say('phase 1: prepare phase 2 (minutes)');
  await snarkjs.powersOfTau.preparePhase2(file('beacon'), file('final'));
  return file('final');
}

// The circuit's own phase: each contribution re-randomises delta.
async function phase2(r1cs, ptau, beacon, work) {
  const file = (name) => join(work, `phase2-${name}.zkey`);
  say('phase 2: initial key');
  await snarkjs.zKey.newZKey(r1cs, ptau, file(0));
  for (let i = 0; i < PHASE_2_CONTRIBUTIONS; i++) {
    say(`phase 2: contribution ${i + 1} of ${PHASE_2_CONTRIBUTIONS}`);
    await snarkjs.zKey.contribute(file(i), file(i + 1), `development ${i + 1}`, entropy());
  }
  say('phase 2: beacon');
  const last = file(PHASE_2_CONTRIBUTIONS);
  await snarkjs.zKey.beacon(last, file('final'), 'beacon', beacon, BEACON_ITERATIONS_EXP);
  return file('final');
}

// The whole check, as a third party makes it: phase 1, then the key from the circuit and phase 1.
async function verify(r1cs, ptau, zkey) {
  const first = listener();
  say('check: phase 1 (minutes)');
  if (!(await snarkjs.powersOfTau.verify(ptau, first))) {
    throw new Error(`phase 1 does not verify:\n${first.lines.join('\n')}`);
  }
  const second = listener();
  say('check: phase 2');
  if (!(await snarkjs.zKey.verifyFromR1cs(r1cs, ptau, zkey, second))) {
    throw new Error(`phase 2 does not verify:\n${second.lines.join('\n')}`);
  }
  const contributions = { phase1: contributionsOf(first.lines), phase2: contributionsOf(second.lines) };
  // A key whose phase 2 nobody contributed to has gamma = delta, and anyone forges its proofs.
  if (contributions.phase2.filter(({ beacon }) => !beacon).length === 0) {
    throw new Error('nobody contributed to phase 2');
  }
  return { ...contributions, circuitHash: circuitHashOf(second.lines) };
}

const hexOf = (text) => text.replace(/\s+/g, '');

function circuitHashOf(lines) {
  return hexOf(lines.find((line) => line.startsWith('Circuit Hash:')).slice('Circuit Hash:'.length));
}

// "contribution #1 name:\n hash" of phase 2, "Contribution #1: name" then "Response Hash:\n hash" of
// phase 1, each followed by its beacon if it is one. snarkjs lists them last first.
function contributionsOf(lines) {
  const found = [];
  for (const line of lines) {
    const head = /^contribution #(\d+):? ?(.*?):?(?:\n([\s\S]*))?$/i.exec(line);
    if (head) {
      found.push({ number: Number(head[1]), name: head[2].trim(), hash: hexOf(head[3] ?? '') });
    } else if (line.startsWith('Response Hash:') && found.length) {
      found.at(-1).hash = hexOf(line.slice('Response Hash:'.length));
    } else if (line.startsWith('Beacon generator:')) {
      found.at(-1).beacon = line.split(':')[1].trim();
    } else if (line.startsWith('Beacon iterations Exp:')) {
      found.at(-1).iterationsExp = Number(line.split(':')[1]);
    }
  }
  return found.sort((a, b) => a.number - b.number);
}

function versions() {
  const dependencies = JSON.parse(readFileSync(join(CIRCUITS, 'package.json'), 'utf8')).dependencies;
  return { node: process.version, ...dependencies };
}

function transcriptText(transcript) {
  const block = (title, contributions) => [
    title,
    ...contributions.map(({ number, name, hash, beacon, iterationsExp }) =>
      [`  ${number}. ${name}`, `     ${hash}`]
        .concat(beacon ? [`     beacon ${beacon}, 2^${iterationsExp} iterations`] : [])
        .join('\n'),
    ),
  ];
  const { files, circuit } = transcript;
  return [
    `Trusted setup of ${transcript.statement}, ${transcript.date}`,
    `Run by: ${transcript.by}`,
    '',
    `Circuit hash ${transcript.circuitHash}`,
    `r1cs sha256 ${circuit.r1csSha256}: ${circuit.constraints} constraints, ${circuit.wires} wires`,
    `powers of tau sha256 ${transcript.powersOfTauSha256}`,
    '',
    ...block('Phase 1 (response hashes)', transcript.phase1),
    '',
    ...block('Phase 2 (contribution hashes)', transcript.phase2),
    '',
    ...Object.entries(files).map(([name, { sha256: hash }]) => `${name} sha256 ${hash}`),
    '',
    `Versions: ${Object.entries(transcript.versions).map(([k, v]) => `${k} ${v}`).join(', ')}`,
    'Verified: snarkjs powersoftau verify and zkey verify, both OK.',
    '',
  ].join('\n');
}

function pin(artifacts, statement, names) {
  const folder = join(artifacts, statement);
  const files = Object.fromEntries(
    names.map((name) => [name, { sha256: sha256(join(folder, name)), bytes: statSync(join(folder, name)).size }]),
  );
  const path = join(artifacts, 'pins.json');
  let pins = {};
  try {
    pins = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  writeFileSync(path, `${JSON.stringify({ ...pins, [statement]: files }, null, 2)}\n`);
}

async function publish(statement, { ptau, zkey, built, by, artifacts }) {
  const checked = await verify(built.r1cs, ptau, zkey);
  const folder = join(artifacts, statement);
  mkdirSync(folder, { recursive: true });
  copyFileSync(built.wasm, join(folder, 'listen.wasm'));
  copyFileSync(zkey, join(folder, 'listen.zkey'));
  const key = await snarkjs.zKey.exportVerificationKey(join(folder, 'listen.zkey'));
  writeFileSync(join(folder, 'verification_key.json'), `${JSON.stringify(key, null, 1)}\n`);
  const names = ['listen.wasm', 'listen.zkey', 'verification_key.json'];
  const transcript = {
    statement,
    date: new Date().toISOString().slice(0, 10),
    by,
    circuitHash: checked.circuitHash,
    circuit: { constraints: built.constraints, wires: built.wires, r1csSha256: sha256(built.r1cs) },
    powersOfTauSha256: sha256(ptau),
    phase1: checked.phase1,
    phase2: checked.phase2,
    files: Object.fromEntries(names.map((name) => [name, { sha256: sha256(join(folder, name)) }])),
    versions: versions(),
  };
  writeFileSync(join(folder, 'transcript.json'), `${JSON.stringify(transcript, null, 1)}\n`);
  writeFileSync(join(folder, 'transcript.txt'), transcriptText(transcript));
  pin(artifacts, statement, [...names, 'transcript.json', 'transcript.txt']);
  say(`published ${folder}`);
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      work: { type: 'string' },
      artifacts: { type: 'string' },
      by: { type: 'string' },
      beacon: { type: 'string' },
      replace: { type: 'boolean' },
    },
  });
  const [verb, source, ptau, zkey] = positionals;
  const wanted = { develop: 2, publish: 4, check: 3 }[verb];
  if (positionals.length !== wanted) {
    throw new Error('usage: node ceremony.mjs develop|publish|check STATEMENT [PTAU [ZKEY]]');
  }
  const statement = basename(source);
  const artifacts = values.artifacts ?? join(CIRCUITS, 'artifacts');
  const published = existsSync(join(artifacts, statement, 'transcript.json'));
  if (published && verb !== 'check' && !values.replace) {
    throw new Error(`${statement} is published: make another version, or say --replace`);
  }
  const work = values.work ?? join(CIRCUITS, '..', '.cache', 'ceremony', statement);
  mkdirSync(work, { recursive: true });
  say(`compiling ${statement}`);
  const built = compile(source, work);
  if (verb === 'check') {
    await verify(built.r1cs, ptau, join(artifacts, statement, 'listen.zkey'));
    say('the artifacts are what the sources and this phase 1 give');
  } else if (verb === 'publish') {
    const by = values.by ?? 'several parties';
    await publish(statement, { ptau, zkey, built, by, artifacts });
  } else {
    const tau = await phase1(Math.ceil(Math.log2(built.constraints + 8)), work);
    const beacon = values.beacon ?? randomBytes(32).toString('hex');
    const key = await phase2(built.r1cs, tau, beacon, work);
    const by = values.by ?? 'one party, all roles, on one machine: for development only';
    await publish(statement, { ptau: tau, zkey: key, built, by, artifacts });
  }
}

main().then(
  () => process.exit(0), // snarkjs keeps its worker threads alive
  (error) => {
    console.error(error.message);
    process.exit(1);
  },
);
