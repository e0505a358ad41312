// What can be wrong with a proof or a key, one thing at a time, and the verdict each must get.
const P = 0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47n;
const R = 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001n;
const INFINITY_G1 = ['0', '1', '0'];
const INFINITY_G2 = [['0', '0'], ['1', '0'], ['0', '0']];

const copy = (value) => structuredClone(value);
const plus = (text, amount) => String(BigInt(text) + amount);

function points(curve) {
  const { G1, G2, Fr } = curve;
  const strings = (value) => (Array.isArray(value) ? value.map(strings) : String(value));
  const numbers = (value) => (Array.isArray(value) ? value.map(numbers) : BigInt(value));
  return {
    g1: (point) => G1.fromObject(numbers(point)),
    g2: (point) => G2.fromObject(numbers(point)),
    text1: (point) => strings(G1.toObject(G1.toAffine(point))),
    text2: (point) => strings(G2.toObject(G2.toAffine(point))),
    scalar: (value) => Fr.e(value),
  };
}

// A point on the twist; all but one in 2^254 of them are outside the subgroup of order r.
function outside(curve) {
  const { F2, G2 } = curve;
  for (let n = 1n; ; n++) {
    const x = F2.fromObject([n, 3n]);
    const square = F2.add(F2.mul(F2.square(x), x), G2.b);
    const y = F2.sqrt(square);
    if (y !== null && F2.eq(F2.square(y), square)) {
      const text = (value) => F2.toObject(value).map(String);
      return [text(x), text(y), ['1', '0']];
    }
  }
}

export async function tampered(curve, key, proofs) {
  const { G1, G2, Fr } = curve;
  const { g1, g2, text1, text2, scalar } = points(curve);
  const [honest, other] = proofs;
  const cases = [];
  const add = (why, expected, change) => {
    const one = copy(honest);
    change(one.proof, one);
    cases.push({ why, expected, proof: one.proof, publicSignals: one.publicSignals });
  };
  const last = honest.publicSignals.length - 1;
  const [A, B, C] = [g1(honest.proof.pi_a), g2(honest.proof.pi_b), g1(honest.proof.pi_c)];

  // Other proofs of the same statement: whoever sees one can make these.
  add('-A and -B', 'valid', (p) => { p.pi_a = text1(G1.neg(A)); p.pi_b = text2(G2.neg(B)); });
  add('A times x, B over x', 'valid', (p) => {
    p.pi_a = text1(G1.timesFr(A, scalar(12345)));
    p.pi_b = text2(G2.timesFr(B, Fr.inv(scalar(12345))));
  });
  add('B plus delta, C plus A', 'valid', (p) => {
    p.pi_b = text2(G2.add(B, g2(key.vk_delta_2)));
    p.pi_c = text1(G1.add(C, A));
  });

  add('a signal plus one', 'pairing-failed', (_, one) => { one.publicSignals[last] = plus(one.publicSignals[last], 1n); });
  add('the signals of another proof', 'pairing-failed', (_, one) => { one.publicSignals = copy(other.publicSignals); });
  add('-A', 'pairing-failed', (p) => { p.pi_a = text1(G1.neg(A)); });
  add('-B', 'pairing-failed', (p) => { p.pi_b = text2(G2.neg(B)); });
  add('-C', 'pairing-failed', (p) => { p.pi_c = text1(G1.neg(C)); });
  add('A is C and C is A', 'pairing-failed', (p) => { [p.pi_a, p.pi_c] = [p.pi_c, p.pi_a]; });
  add('A is the generator', 'pairing-failed', (p) => { p.pi_a = text1(G1.g); });
  add('B is the generator', 'pairing-failed', (p) => { p.pi_b = text2(G2.g); });
  add('C of another proof', 'pairing-failed', (p) => { p.pi_c = copy(other.proof.pi_c); });
  add('alpha, beta and no more', 'pairing-failed', (p) => { p.pi_a = key.vk_alpha_1; p.pi_b = key.vk_beta_2; });

  for (const name of ['pi_a', 'pi_c']) {
    add(`${name} off the curve`, 'point-off-curve', (p) => { p[name][1] = plus(p[name][1], -1n); });
    // As the EVM's precompiles encode infinity.
    add(`${name} is (0, 0)`, 'point-at-infinity', (p) => { p[name] = ['0', '0', '1']; });
    add(`${name} at infinity`, 'point-at-infinity', (p) => { p[name] = INFINITY_G1; });
    add(`x of ${name} plus the field's order`, 'coordinate-not-in-field', (p) => { p[name][0] = plus(p[name][0], P); });
    add(`y of ${name} is the field's order`, 'coordinate-not-in-field', (p) => { p[name][1] = String(P); });
  }
  add('pi_b off the curve', 'point-off-curve', (p) => { p.pi_b[1][1] = plus(p.pi_b[1][1], -1n); });
  add('pi_b with its parts swapped', 'point-off-curve', (p) => { p.pi_b[0].reverse(); p.pi_b[1].reverse(); });
  add('pi_b at infinity', 'point-at-infinity', (p) => { p.pi_b = INFINITY_G2; });
  add('pi_b outside the subgroup', 'point-outside-subgroup', (p) => { p.pi_b = outside(curve); });
  add('pi_b plus a point outside the subgroup', 'point-outside-subgroup', (p) => {
    p.pi_b = text2(G2.add(B, g2(outside(curve))));
  });
  for (const [i, j] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
    add(`coordinate ${i}, ${j} of pi_b plus the field's order`, 'coordinate-not-in-field', (p) => {
      p.pi_b[i][j] = plus(p.pi_b[i][j], P);
    });
  }

  add('a signal plus the order', 'input-not-in-field', (_, one) => { one.publicSignals[0] = plus(one.publicSignals[0], R); });
  add('a signal is the order', 'input-not-in-field', (_, one) => { one.publicSignals[last] = String(R); });
  add('a signal of 300 bits', 'input-not-in-field', (_, one) => { one.publicSignals[0] = String(2n ** 300n); });
  add('a signal too many', 'wrong-input-count', (_, one) => { one.publicSignals.push('0'); });
  add('a signal too few', 'wrong-input-count', (_, one) => { one.publicSignals.pop(); });
  return cases;
}

export async function tamperedKeys(curve, key, unfinished) {
  const { g1, text1 } = points(curve);
  const cases = [{ why: 'as made', expected: 'valid', key }];
  const add = (why, expected, change) => {
    const one = copy(key);
    change(one);
    cases.push({ why, expected, key: one });
  };
  cases.push({ why: 'before any contribution to phase 2', expected: 'key-no-phase-2', key: unfinished });
  add('delta is gamma', 'key-no-phase-2', (k) => { k.vk_delta_2 = copy(k.vk_gamma_2); });
  add('delta is minus gamma', 'key-no-phase-2', (k) => {
    k.vk_delta_2 = copy(k.vk_gamma_2);
    k.vk_delta_2[1] = k.vk_delta_2[1].map((part) => String((P - BigInt(part)) % P));
  });
  add('alpha off the curve', 'key-off-curve', (k) => { k.vk_alpha_1[1] = plus(k.vk_alpha_1[1], -1n); });
  add('a point of IC off the curve', 'key-off-curve', (k) => { k.IC[1][0] = plus(k.IC[1][0], -1n); });
  add('alpha at infinity', 'key-at-infinity', (k) => { k.vk_alpha_1 = INFINITY_G1; });
  for (const name of ['beta', 'gamma', 'delta']) {
    add(`${name} off the curve`, 'key-off-curve', (k) => { k[`vk_${name}_2`][0][0] = plus(k[`vk_${name}_2`][0][0], -1n); });
    add(`${name} outside the subgroup`, 'key-outside-subgroup', (k) => { k[`vk_${name}_2`] = outside(curve); });
    add(`${name} at infinity`, 'key-at-infinity', (k) => { k[`vk_${name}_2`] = INFINITY_G2; });
  }
  return cases;
}
