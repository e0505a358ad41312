// The ceremony's script on a tiny circuit: it publishes what it verified, and refuses the rest.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import * as snarkjs from 'snarkjs';
import { CIRCUITS } from '../compile.mjs';

const BEACON = '00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff';
const folder = mkdtempSync(join(tmpdir(), 'ceremony-'));
const artifacts = join(folder, 'artifacts');
const inWork = (name) => join(folder, 'work', name);

function ceremony(...args) {
  const options = ['--work', join(folder, 'work'), '--artifacts', artifacts];
  const command = [join(CIRCUITS, 'ceremony.mjs'), ...args, ...options];
  return spawnSync(process.execPath, command, { cwd: CIRCUITS, encoding: 'utf8' });
}

before(() => {
  const run = ceremony('develop', 'test/tiny', '--beacon', BEACON);
  assert.equal(run.status, 0, run.stderr);
});
after(() => {
  rmSync(folder, { recursive: true });
  return globalThis.curve_bn128?.terminate();
});

test('it publishes files, pins and a transcript of every contribution', () => {
  const transcript = JSON.parse(readFileSync(join(artifacts, 'tiny', 'transcript.json')));
  const names = (phase) => transcript[phase].map(({ name }) => name);
  assert.deepEqual(names('phase1'), ['development 1', 'development 2', 'beacon']);
  assert.deepEqual(names('phase2'), ['development 1', 'development 2', 'development 3', 'beacon']);
  const all = [...transcript.phase1, ...transcript.phase2];
  for (const { hash } of all) assert.match(hash, /^[0-9a-f]{128}$/);
  assert.equal(new Set(all.map(({ hash }) => hash)).size, all.length);
  assert.equal(transcript.phase2.at(-1).beacon, BEACON);
  assert.match(transcript.circuitHash, /^[0-9a-f]{128}$/);
  const pins = JSON.parse(readFileSync(join(artifacts, 'pins.json')));
  assert.deepEqual(Object.keys(pins.tiny).sort(), readdirSync(join(artifacts, 'tiny')).sort());
});

test('its key proves and verifies', async () => {
  const file = (name) => join(artifacts, 'tiny', name);
  const inputs = { root: '5' };
  const made = await snarkjs.groth16.fullProve(inputs, file('listen.wasm'), file('listen.zkey'));
  const key = JSON.parse(readFileSync(file('verification_key.json')));
  assert.deepEqual(made.publicSignals, ['25']);
  assert.ok(await snarkjs.groth16.verify(key, made.publicSignals, made.proof));
  assert.equal(await snarkjs.groth16.verify(key, ['26'], made.proof), false);
});

test('a third party checks it', () => {
  const run = ceremony('check', 'test/tiny', inWork('powers-of-tau-final.ptau'));
  assert.equal(run.status, 0, run.stderr);
});

test('another key in its place does not check', () => {
  const key = join(artifacts, 'tiny', 'listen.zkey');
  copyFileSync(key, inWork('kept.zkey'));
  // The initial key in its place: of the same circuit and phase 1, and anyone can forge its proofs.
  copyFileSync(inWork('phase2-0.zkey'), key);
  const run = ceremony('check', 'test/tiny', inWork('powers-of-tau-final.ptau'));
  copyFileSync(inWork('kept.zkey'), key);
  assert.equal(run.status, 1);
  assert.match(run.stderr, /nobody contributed/);
});

test('a published version is not overwritten', () => {
  const run = ceremony('develop', 'test/tiny');
  assert.equal(run.status, 1);
  assert.match(run.stderr, /is published/);
});

test('a key that nobody contributed to is not published', () => {
  const [tau, key] = ['powers-of-tau-final.ptau', 'phase2-0.zkey'].map(inWork);
  const run = ceremony('publish', 'test/tiny', tau, key, '--replace');
  assert.equal(run.status, 1);
  assert.match(run.stderr, /nobody contributed/);
});

test('a key of damaged bytes is not published', () => {
  const bytes = readFileSync(inWork('phase2-final.zkey'));
  bytes[bytes.length - 400] ^= 1;
  writeFileSync(inWork('damaged.zkey'), bytes);
  const [tau, key] = ['powers-of-tau-final.ptau', 'damaged.zkey'].map(inWork);
  const run = ceremony('publish', 'test/tiny', tau, key, '--replace');
  assert.equal(run.status, 1);
  assert.match(run.stderr, /does not verify|nobody|invalid|error/i);
});
