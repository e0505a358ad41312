import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import * as prover from '../src/index.js';
import { vectors } from './support.js';

const { ORDER } = prover;
const require = createRequire(import.meta.url);

test('Poseidon is circomlib\'s, by its published values and ours', () => {
  const hash = (inputs) => {
    const name = `poseidon${inputs.length}`;
    return require(`poseidon-lite/${name}`)[name](inputs.map(BigInt));
  };
  // From circomlibjs's own tests.
  assert.equal(
    hash([1, 2]),
    7853200120776062878684798364095072458815029376092732009249414926327459813530n,
  );
  assert.equal(
    hash([1, 2, 3, 4]),
    18821383157269793795438455681495246036402687001665670618754263018637548127333n,
  );
  for (const golden of vectors.poseidon) {
    assert.equal(hash(golden.inputs), BigInt(golden.hash), `${golden.inputs.length} inputs`);
  }
});

for (const golden of vectors.proofs) {
  test(`golden: ${golden.name}`, () => {
    const secret = BigInt(golden.secret);
    const rows = golden.rows.map((row) => ({
      nonce: prover.fromHex(row.nonce),
      deltaMs: row.delta_ms,
    }));
    const session = prover.sessionElement(golden.session_id, golden.stretch);
    const pool = prover.fromUuid(golden.pool_id);
    const commitment = prover.commitment(secret);
    const chain = prover.chain(rows);
    const leaf = prover.leaf({ commitment, session, pool, chain });
    const siblings = golden.tree.siblings.map(BigInt);
    assert.equal(commitment, BigInt(golden.commitment));
    assert.equal(session, BigInt(golden.session));
    assert.equal(pool, BigInt(golden.pool));
    assert.equal(prover.playedMs(rows), golden.played_ms);
    assert.equal(chain, BigInt(golden.chain));
    assert.equal(leaf, BigInt(golden.leaf));
    assert.equal(prover.nullifier(secret, session), BigInt(golden.nullifier));
    assert.equal(prover.rootFrom(leaf, golden.tree.index, siblings), BigInt(golden.tree.root));
  });
}

test('trees and paths', () => {
  assert.deepEqual(prover.tree.EMPTY, vectors.empty.map(BigInt));
  for (const { leaves, root, paths } of vectors.trees) {
    const all = leaves.map(BigInt);
    assert.equal(prover.tree.root(all), BigInt(root));
    for (const { index, siblings } of paths) {
      const path = prover.tree.path(all, index);
      assert.deepEqual(path, { root: BigInt(root), siblings: siblings.map(BigInt) });
      assert.equal(prover.rootFrom(all[index], index, path.siblings), BigInt(root));
    }
  }
  for (const index of [-1, 2, 0.5]) assert.throws(() => prover.tree.path([1n, 2n], index), RangeError);
});

test('identities are fresh field elements and their commitments', () => {
  const seen = new Set();
  for (let i = 0; i < 50; i++) {
    const { secret, commitment } = prover.newIdentity();
    assert.ok(secret >= 0n && secret < ORDER);
    assert.equal(commitment, prover.commitment(secret));
    seen.add(secret);
  }
  assert.equal(seen.size, 50);
});

test('elements at or above the order are refused, not reduced', () => {
  assert.equal(prover.element(ORDER - 1n), ORDER - 1n);
  for (const bad of [ORDER, ORDER + 5n, -1n]) assert.throws(() => prover.element(bad), RangeError);
  assert.throws(() => prover.commitment(ORDER), RangeError);
  assert.throws(() => prover.nullifier(1n, ORDER), RangeError);
  assert.throws(() => prover.chain([{ nonce: ORDER, deltaMs: 1 }]), RangeError);
  assert.throws(() => prover.tree.root([ORDER]), RangeError);
});

test('rows that the circuit would refuse', () => {
  for (const deltaMs of [0, -1, 65_536, 1.5, NaN]) {
    assert.throws(() => prover.chain([{ nonce: 1n, deltaMs }]), RangeError);
  }
  const rows = Array.from({ length: 73 }, () => ({ nonce: 1n, deltaMs: 1 }));
  assert.throws(() => prover.chain(rows), RangeError);
});

test('a session of many beats is cut into stretches of 72', () => {
  const rows = Array.from({ length: 150 }, (_, i) => ({ nonce: BigInt(i), deltaMs: 1 + i }));
  const cut = prover.stretches(rows);
  assert.deepEqual(cut.map((stretch) => stretch.length), [72, 72, 6]);
  assert.deepEqual(cut.flat(), rows);
  assert.deepEqual(prover.stretches([]), []);
});

test('names of numbers', () => {
  const id = '01890a5d-ac96-774b-bcce-b302099a8057';
  assert.equal(prover.fromUuid(id), 0x01890a5dac96774bbcceb302099a8057n);
  assert.equal(prover.sessionElement(id, 3), 0x01890a5dac96774bbcceb302099a805703n);
  for (const stretch of [-1, 256, 0.5]) assert.throws(() => prover.sessionElement(id, stretch));
  for (const bad of ['', '01890a5dac96774bbcceb302099a8057', `${id}0`, 'x']) {
    assert.throws(() => prover.fromUuid(bad), SyntaxError);
  }
  assert.equal(prover.fromBytes([1, 0, 255]), 0x100ffn);
  assert.throws(() => prover.fromHex('0x12'), SyntaxError);
});

test('the claimed step is the greatest one reached', () => {
  const steps = [60_000, 30_000, 300_000];
  assert.equal(prover.claimStep(29_999, steps), undefined);
  assert.equal(prover.claimStep(30_000, steps), 30_000);
  assert.equal(prover.claimStep(299_999, steps), 60_000);
  assert.equal(prover.claimStep(10 ** 7, steps), 300_000);
});
