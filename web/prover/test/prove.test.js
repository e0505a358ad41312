import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { buildInputs, CannotProve, loadArtifacts, Prover, WrongArtifact } from '../src/index.js';
import { verify } from '../src/prove.js';
import { thread } from '../src/thread.js';
import { artifacts, claimOf, pins, read, vectors, verificationKey } from './support.js';

after(() => globalThis.curve_bn128?.terminate());

const golden = vectors.proofs[0];

test('golden proofs verify, and not for another signal', async () => {
  for (const { proof, public_signals: publicSignals } of vectors.proofs) {
    assert.ok(await verify(verificationKey, { proof, publicSignals }));
    const other = [...publicSignals];
    other[4] = String(BigInt(other[4]) + 1n);
    assert.equal(await verify(verificationKey, { proof, publicSignals: other }), false);
  }
});

const REFUSED = {
  'played-too-short': { minPlayedMs: golden.played_ms + 1 },
  'gap-too-long': { maxGapMs: 9_999 },
  'leaf-not-in-tree': { root: 1n },
};

for (const [code, change] of Object.entries(REFUSED)) {
  test(`refused before any work: ${code}`, () => {
    const claim = { ...claimOf(golden), ...change };
    assert.throws(() => buildInputs(claim), (error) => error instanceof CannotProve && error.code === code);
  });
}

test("a secret that is not the leaf's is refused before any work", () => {
  assert.throws(() => buildInputs({ ...claimOf(golden), secret: 5n }), { code: 'leaf-not-in-tree' });
});

test('only pinned artifacts are used', async () => {
  const changed = async (name) => {
    const bytes = new Uint8Array(await read(name));
    if (name.endsWith('.zkey')) bytes[bytes.length - 1] ^= 1;
    return bytes;
  };
  await assert.rejects(loadArtifacts(pins, changed), WrongArtifact);
  await assert.rejects(loadArtifacts(pins, read, 'listen-v0'), RangeError);
});

test('a worker thread proves, refuses by code, and ends', { timeout: 120_000 }, async () => {
  const prover = await Prover.start(thread(), await artifacts());
  const refused = prover.prove({ ...claimOf(golden), root: 1n });
  const proved = prover.prove(claimOf(golden));
  await assert.rejects(refused, { code: 'leaf-not-in-tree' });
  const { version, proof, publicSignals } = await proved;
  assert.equal(version, 'listen-v1');
  assert.deepEqual(publicSignals, golden.public_signals);
  assert.notDeepEqual(proof, golden.proof, 'proofs are randomised');
  assert.ok(await verify(verificationKey, { proof, publicSignals }));
  await prover.close();
  await assert.rejects(prover.prove(claimOf(golden)), /closed/);
});

test('a worker that dies takes no promise with it', { timeout: 60_000 }, async () => {
  const worker = thread();
  const prover = await Prover.start(worker, await artifacts());
  const asked = prover.prove(claimOf(golden));
  worker.terminate();
  await assert.rejects(asked, /ended/);
  await assert.rejects(prover.prove(claimOf(golden)), /ended/);
});
