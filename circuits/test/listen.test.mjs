// What `listen-v1` accepts, and for each of its constraints a cheat that breaks just that one.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as listening from '../../web/prover/src/index.js';
import { ORDER } from '../r1cs.mjs';
import { Bench, claimOf, digitsOf, inputsOf, MAX_GAP_MS } from './support.mjs';

const FULL = Array(listening.ROWS).fill(10_000);
let bench;

before(async () => {
  bench = await Bench.open();
});
after(() => globalThis.curve_bn128?.terminate());

// --- honest witnesses -------------------------------------------------------------------------

const HONEST = {
  'one row': claimOf([10_000]),
  'one row of a millisecond, the gap just as long': claimOf([1], { maxGapMs: 1 }),
  'half a stretch': claimOf(Array(36).fill(9_999)),
  'all rows': claimOf(FULL),
  'all rows at the greatest gap there is': claimOf(Array(72).fill(65_535), { maxGapMs: 65_535 }),
  'less claimed than played': claimOf(FULL, { minPlayedMs: 30_000 }),
  'nothing claimed': claimOf(FULL, { minPlayedMs: 0 }),
  'the first leaf': claimOf(FULL, { index: 0 }),
  'the last leaf': claimOf(FULL, { index: 2 ** listening.DEPTH - 1 }),
  'a leaf to the right of everything but the top': claimOf(FULL, { index: 2 ** 19 - 1 }),
  'the greatest secret': claimOf([10_000], { secret: ORDER - 1n }),
};

for (const [name, claim] of Object.entries(HONEST)) {
  test(`honest: ${name}`, async () => {
    const witness = await bench.strict(listening.buildInputs(claim));
    assert.deepEqual(bench.broken(witness), []);
    const { secret, session, root, minPlayedMs, maxGapMs, recipient, epoch } = claim;
    const signals = [listening.nullifier(secret, session), root, minPlayedMs, maxGapMs, recipient, epoch];
    assert.deepEqual(witness.slice(1, 7), signals.map(BigInt));
  });
}

test('the lenient calculator, on which the cheats rest, agrees on an honest claim', async () => {
  const inputs = inputsOf(claimOf([10_000, 9_000]));
  assert.deepEqual(await bench.lenient(inputs), await bench.strict(inputs));
});

test('snarkjs wtns check says what our reading of the constraints says', async () => {
  const witness = await bench.strict(inputsOf(claimOf(FULL)));
  assert.deepEqual(bench.broken(witness), []);
  assert.equal(await bench.accepts(witness), true);
  for (const name of ['nullifier', 'recipient', 'root', 'row[3].used', 'row[71].within.decomposition.out[4]']) {
    const wire = bench.wireOf.get(`main.${name}`);
    const forged = bench.set(witness.slice(), { [name]: witness[wire] + 1n });
    assert.notDeepEqual(bench.broken(forged), []);
    assert.equal(await bench.accepts(forged), false, name);
  }
});

// --- cheats ---------------------------------------------------------------------------------------

// A constraint is recognised by signals in it.
function refused(witness, { only }) {
  const found = bench.broken(witness);
  assert.equal(found.length, 1, `broken: ${JSON.stringify(found)}`);
  for (const name of only) assert.ok(found[0].includes(name), `${name} not in ${found[0]}`);
}

async function refusedByCircom(inputs) {
  await assert.rejects(bench.strict(inputs), /Assert Failed|Error in template/);
}

const last = (name) => `${name}.decomposition.out[0]`; // a digit that is in the sum of all digits

// The leaf in the tree is honest, the claim about it is not: only the way up to the root breaks.
const AGAINST_THE_TREE = {
  'a forged time': (claim) => inputsOf(claim, { deltaMs: with_(inputsOf(claim).deltaMs, 1, '10500') }),
  'a replayed nonce': (claim) => inputsOf(claim, { nonce: replayed(inputsOf(claim).nonce) }),
  'nonces in another order': (claim) => inputsOf(claim, { nonce: swapped(inputsOf(claim).nonce) }),
  'a beat more than there was': (claim) =>
    inputsOf({ ...claim, rows: [...claim.rows, { nonce: 1n, deltaMs: 10_000 }] }),
  'another tree': (claim) => inputsOf(claim, { root: claim.root + 1n }),
  "another's secret": (claim) => inputsOf(claim, { secret: claim.secret + 1n }),
  'another session': (claim) => inputsOf(claim, { session: claim.session + 1n }),
  'another pool': (claim) => inputsOf(claim, { pool: claim.pool + 1n }),
  'another place': (claim) => inputsOf(claim, { index: claim.index ^ 1 }),
  'another sibling': (claim) => inputsOf(claim, { siblings: with_(claim.siblings, 7, 7n) }),
};

const with_ = (values, index, value) => values.map((old, i) => (i === index ? value : old));
const replayed = (nonces) => with_(nonces, 2, nonces[1]);
const swapped = (nonces) => [nonces[1], nonces[0], ...nonces.slice(2)];

for (const [name, cheat] of Object.entries(AGAINST_THE_TREE)) {
  test(`refused: ${name}`, async () => {
    const inputs = cheat(claimOf([10_000, 10_000, 10_000], { minPlayedMs: 20_000 }));
    await refusedByCircom(inputs);
    refused(await bench.lenient(inputs), { only: ['root'] });
  });
}

test('refused: a session of another identity, with the right nullifier for it', async () => {
  const inputs = inputsOf(claimOf([10_000], { owner: 5n, secret: 6n }));
  refused(await bench.lenient(inputs), { only: ['root'] });
});

test('refused: short play', async () => {
  const inputs = inputsOf(claimOf([10_000, 9_999], { minPlayedMs: 20_000 }));
  await refusedByCircom(inputs);
  refused(await bench.lenient(inputs), { only: [last('enough'), 'minPlayedMs'] });
});

test('refused: short play, its missing time written into a digit', async () => {
  const inputs = inputsOf(claimOf([10_000, 9_999], { minPlayedMs: 20_000 }));
  const witness = await bench.lenient(inputs);
  bench.set(witness, { ...digitsOf('enough', 0, 23), [last('enough')]: -1n });
  refused(witness, { only: [last('enough')] });
});

test('refused: a minimum that is negative, so that anything reaches it', async () => {
  const inputs = inputsOf(claimOf([10_000]), { minPlayedMs: ORDER - 1n });
  await refusedByCircom(inputs);
  refused(await bench.lenient(inputs), { only: [last('minRange'), 'minPlayedMs'] });
});

test('refused: a gap over the limit', async () => {
  const inputs = inputsOf(claimOf([10_000, MAX_GAP_MS + 1, 10_000]));
  await refusedByCircom(inputs);
  refused(await bench.lenient(inputs), { only: [last('row[1].within'), 'maxGapMs'] });
});

test('refused: a limit beyond 16 bits', async () => {
  const inputs = inputsOf(claimOf([10_000]), { maxGapMs: 65_536 });
  await refusedByCircom(inputs);
  const witness = await bench.lenient(inputs);
  // Each row's own check of the difference fails as well where the difference has 17 bits.
  const beyond = bench.broken(witness).filter((names) => !names.some((name) => /^row/.test(name)));
  assert.equal(beyond.length, 1);
  assert.ok(beyond[0].includes(last('gapRange')));
});

test('refused: a limit beyond 16 bits, with rows near it', async () => {
  const inputs = inputsOf(claimOf(Array(72).fill(65_535)), { maxGapMs: 65_536 + 60_000 });
  refused(await bench.lenient(inputs), { only: [last('gapRange'), 'maxGapMs'] });
});

test('refused: a negative time, with a sum that is enough', async () => {
  const deltaMs = with_(inputsOf(claimOf([10_000, 10_000])).deltaMs, 1, (ORDER - 5_000n).toString());
  const inputs = inputsOf(claimOf([10_000, 10_000]), { deltaMs, minPlayedMs: 1_000 });
  await refusedByCircom(inputs);
  const witness = await bench.lenient(inputs, { ownTree: true });
  refused(witness, { only: [last('row[1].positive'), 'deltaMs[1]'] });
});

test('refused: no time in a used row', async () => {
  const claim = claimOf([10_000, 10_000, 10_000]);
  const deltaMs = with_(inputsOf(claim).deltaMs, 2, '0');
  const inputs = inputsOf(claim, { deltaMs, minPlayedMs: 20_000 });
  await refusedByCircom(inputs);
  // The row holds a nonce. Said to be empty it must not, said to be used it needs time.
  const empty = await bench.lenient(inputs, { ownTree: true });
  refused(empty, { only: ['row[2].used', 'nonce[2]'] });
  const used = bench.set(empty.slice(), { 'row[2].used': 1, ...digitsOf('row[2].positive', 0, 16) });
  refused(used, { only: [last('row[2].positive'), 'row[2].used'] });
});

test('refused: time in an empty row', async () => {
  const claim = claimOf([10_000, 10_000]);
  const deltaMs = with_(inputsOf(claim).deltaMs, 2, '10000');
  const inputs = inputsOf(claim, { deltaMs, minPlayedMs: 30_000 });
  const witness = await bench.lenient(inputs, { ownTree: true });
  assert.deepEqual(bench.broken(witness), [], 'the ticket 0 is as good as any in a tree that has it');
  bench.set(witness, { 'row[2].used': 0, ...digitsOf('row[2].positive', 10_000, 16) });
  refused(witness, { only: ['row[2].used', 'deltaMs[2]'] });
});

test('refused: neither used nor empty', async () => {
  const witness = await bench.lenient(inputsOf(claimOf([10_000])));
  bench.set(witness, { 'row[1].used': -5n, ...digitsOf('row[1].positive', 5, 16) });
  refused(witness, { only: ['row[1].used'] });
});

test('refused: a gap between used rows', async () => {
  const claim = claimOf([10_000, 10_000, 10_000]);
  const { deltaMs, nonce } = inputsOf(claim);
  const inputs = inputsOf(claim, {
    deltaMs: with_(deltaMs, 1, '0'),
    nonce: with_(nonce, 1, '0'),
    minPlayedMs: 20_000,
  });
  await refusedByCircom(inputs);
  const witness = await bench.lenient(inputs, { ownTree: true });
  refused(witness, { only: ['row[1].used', 'row[2].used'] });
});

test('refused: an index beyond the tree, an alias of one in it', async () => {
  const claim = claimOf([10_000]);
  const inputs = inputsOf(claim, { index: claim.index + 2 ** listening.DEPTH });
  await refusedByCircom(inputs);
  // The top side is what the others leave of the index: here no digit, and it changes the top node.
  const found = bench.broken(await bench.lenient(inputs));
  const digit = (name) => name === 'index' || /^tree.children\[\d+\].sel$/.test(name);
  assert.equal(found.filter((names) => names.every(digit)).length, 1);
  assert.ok(found.flat().every((name) => digit(name) || /^tree|^siblings|^root/.test(name)));
});

test('refused: a side that is neither left nor right', async () => {
  // sides 2 and 1 (instead of 0 and 0) at the two lowest levels sum up to index 4.
  const witness = await bench.lenient(inputsOf(claimOf([10_000], { index: 4 })));
  bench.set(witness, { 'tree.children[0].sel': 2, 'tree.children[1].sel': -1 });
  const found = bench.broken(witness);
  const digits = found.filter((names) => names.length === 1).flat();
  assert.deepEqual(digits.sort(), ['tree.children[0].sel', 'tree.children[1].sel']);
});

test('refused: another nullifier', async () => {
  const witness = await bench.lenient(inputsOf(claimOf([10_000])));
  refused(bench.set(witness, { nullifier: witness[1] + 1n }), { only: ['nullifier'] });
});

test('refused: a nullifier of another secret or session than the leaf has', async () => {
  const claim = claimOf([10_000]);
  const honest = await bench.lenient(inputsOf(claim));
  const other = await bench.lenient(inputsOf({ ...claim, secret: claim.secret + 1n }));
  for (const [name, wire] of bench.wireOf) {
    if (name.startsWith('main.spent.')) honest[wire] = other[wire];
  }
  honest[1] = other[1];
  const found = bench.broken(honest);
  assert.ok(found.length > 0);
  assert.ok(found.every((names) => names.some((name) => /^spent|^nullifier/.test(name))));
});

for (const name of ['recipient', 'epoch']) {
  test(`refused: another ${name}`, async () => {
    const witness = await bench.lenient(inputsOf(claimOf([10_000])));
    const wire = bench.wireOf.get(`main.${name}`);
    bench.set(witness, { [name]: witness[wire] + 1n });
    refused(witness, { only: [name, `${name}Bound`] });
  });
}

// --- elements at or above the order -------------------------------------------------------------------

test('a secret plus the order is the same secret: no second nullifier', async () => {
  const claim = claimOf([10_000]);
  const same = await bench.strict(inputsOf(claim, { secret: claim.secret + ORDER }));
  assert.equal(same[1], listening.nullifier(claim.secret, claim.session));
  assert.throws(() => listening.buildInputs({ ...claim, secret: claim.secret + ORDER }), RangeError);
});

test('a public number at or above the order names the reduced one, nothing new', async () => {
  const inputs = inputsOf(claimOf([10_000]));
  const aliased = { ...inputs, minPlayedMs: (BigInt(inputs.minPlayedMs) + ORDER).toString() };
  assert.deepEqual(await bench.strict(aliased), await bench.strict(inputs));
});

for (const name of ['root', 'recipient', 'epoch', 'session', 'pool']) {
  test(`the prover refuses a ${name} at the order`, () => {
    const claim = { ...claimOf([10_000]), [name]: ORDER };
    assert.throws(() => listening.buildInputs(claim), RangeError);
  });
}
