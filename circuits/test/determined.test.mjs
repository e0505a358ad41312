// check_determined finds nothing free in the circuit, and does find it in circuits known to be bad.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { movable, propagate } from '../check_determined.mjs';
import { Bench, claimOf, inputsOf, small } from './support.mjs';

after(() => globalThis.curve_bn128?.terminate());

test('every signal of listen-v1 is determined by the inputs', async () => {
  const bench = await Bench.open();
  const { counts, left } = propagate(bench.r1cs);
  assert.deepEqual(left, []);
  assert.equal(counts.gate, 72, 'the hint of each row');
  for (const deltas of [[10_000], Array(72).fill(9_000)]) {
    const witness = await bench.strict(inputsOf(claimOf(deltas)));
    assert.deepEqual(movable(bench.r1cs, witness), []);
  }
});

// Circuits of which a signal is free for some inputs, and which one the propagation must leave over.
const FREE = {
  // The inverse of zero is anything; harmless there, but a reason why listen.circom has no IsZero.
  'is-zero': ['include "circomlib/circuits/comparators.circom"; component main = IsZero();', 'main.inv'],
  // 254 digits: numbers below 2^254 - order have two decompositions.
  aliased: [
    'include "listen.circom"; component main { public [in] } = InRange(254);',
    'main.decomposition.out[0]',
  ],
  hint: [
    `template Half() { signal input in; signal output out; out <-- in / 2; signal t; t <== out * in; }
     component main = Half();`,
    'main.out',
  ],
  root: [
    `template Root() { signal input in; signal output out; out <-- 0; out * out === in; }
     component main = Root();`,
    'main.out',
  ],
  // A row whose hint lacks the range check: used may be 1 at no time at all.
  'loose-row': [
    `template Loose() { signal input x; signal output used; used <-- 0;
       used * (used - 1) === 0; (1 - used) * x === 0; }
     component main = Loose();`,
    'main.used',
  ],
  // The digits of -(x - u): they exist for u = 1 and x = 0.
  'wrong-sign': [
    `include "listen.circom";
     template Wrong() { signal input x; signal output used; used <-- 0;
       used * (used - 1) === 0; (1 - used) * x === 0;
       component range = InRange(16); range.in <== used - x; }
     component main = Wrong();`,
    'main.used',
  ],
  // A product with a free factor, in two steps.
  'free-factor': [
    `template Factor() { signal input in; signal output out; signal f; f <-- 0; out <== f * in; }
     component main = Factor();`,
    'main.out',
  ],
  // Two values that are not 0 and 1: 2 + 2 * 0 is 0 + 2 * 1.
  'not-binary': [
    `template Two() { signal input in; signal output a; signal output b; a <-- 0; b <-- 0;
       a * (a - 2) === 0; b * (b - 1) === 0;
       (in - a - 2 * b) * (in - a - 2 * b - 4) === 0; }
     component main = Two();`,
    'main.a',
  ],
  // Digits with a weight twice.
  'double-weight': [
    `template Twice() { signal input in; signal output a; signal output b; a <-- 0; b <-- 0;
       a * (a - 1) === 0; b * (b - 1) === 0;
       (in - a - b) * (in - a - b - 4) === 0; }
     component main = Twice();`,
    'main.a',
  ],
};

for (const [name, [source, free]] of Object.entries(FREE)) {
  test(`found free: ${name}`, () => {
    const { r1cs, wireOf } = small(name, source);
    const names = new Map([...wireOf].map(([signal, wire]) => [wire, signal]));
    assert.ok(propagate(r1cs).left.map((wire) => names.get(wire)).includes(free));
  });
}

const TIGHT = {
  row: 'include "listen.circom"; component main { public [maxGapMs] } = Row();',
  digits: 'include "listen.circom"; component main { public [in] } = InRange(253);',
};

for (const [name, source] of Object.entries(TIGHT)) {
  test(`nothing free: ${name}`, () => {
    assert.deepEqual(propagate(small(name, source).r1cs).left, []);
  });
}

test('a signal that no constraint holds is movable', () => {
  const { r1cs, wireOf } = small('hint', FREE.hint[0]);
  // in = 0: out * in = t holds for any out.
  const witness = Array(r1cs.wires).fill(0n);
  witness[0] = 1n;
  assert.ok(movable(r1cs, witness).includes(wireOf.get('main.out')));
});
