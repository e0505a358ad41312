// The committed artifacts are those of the present sources, and of the ceremony they say.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import * as snarkjs from 'snarkjs';
import { CIRCUITS } from '../compile.mjs';
import { readR1cs } from '../r1cs.mjs';
import { built, STATEMENT } from './support.mjs';

after(() => globalThis.curve_bn128?.terminate());

const folder = join(CIRCUITS, 'artifacts', STATEMENT);
const sha256 = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');
const json = (name) => JSON.parse(readFileSync(join(folder, name), 'utf8'));

test('the sources compile to the pinned witness calculator and the circuit of the ceremony', () => {
  const transcript = json('transcript.json');
  assert.equal(sha256(join(built(), `${STATEMENT}.wasm`)), transcript.files['listen.wasm'].sha256);
  assert.equal(sha256(join(built(), `${STATEMENT}.r1cs`)), transcript.circuit.r1csSha256);
  const { constraints, wires } = readR1cs(join(built(), `${STATEMENT}.r1cs`));
  assert.equal(constraints.length, transcript.circuit.constraints);
  assert.equal(wires, transcript.circuit.wires);
});

test('the verification key is the one in the proving key, and phase 2 moved its delta', async () => {
  const key = json('verification_key.json');
  assert.deepEqual(await snarkjs.zKey.exportVerificationKey(join(folder, 'listen.zkey')), key);
  assert.equal(key.nPublic, 6);
  assert.notDeepEqual(key.vk_gamma_2, key.vk_delta_2);
});
