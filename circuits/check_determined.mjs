// Is any signal of a circuit under-constrained? node check_determined.mjs R1CS SYM [WASM INPUTS.json]
//
// Proof part: starting from the constant and the inputs, signals are marked as determined, each by
// a rule whose argument holds for every witness (`LinearRule`, `digits`, `gate`). What no rule reaches is reported:
// it may be free, and a prover could choose it.
//
// Perturbation part (with a witness): each signal of an honest witness, the inputs too, is changed
// alone by several amounts, and at least one constraint must break each time. Weaker, for it
// looks at one witness and at one signal at a time, but it rests on no rule.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as snarkjs from 'snarkjs';
import { evaluate, mod, ORDER, readR1cs, readSymbols, readWitness, wiresOf } from './r1cs.mjs';

// Bits that may be recombined without a second decomposition modulo the order.
const MAX_BITS = 253;

const scaled = (terms, factor) => terms.map(([wire, k]) => [wire, mod(k * factor)]);

function sum(...parts) {
  const total = new Map();
  for (const [wire, k] of parts.flat()) total.set(wire, mod((total.get(wire) ?? 0n) + k));
  return new Map([...total].filter(([, k]) => k !== 0n));
}

function inverse(value) {
  let [a, b, x, y] = [mod(value), ORDER, 1n, 0n];
  while (b) [a, b, x, y] = [b, a % b, y, x - (a / b) * y];
  return mod(x);
}

// l * (l - d) = 0, written as a product that is zero: {l, d} such that l is 0 or d, or undefined.
function twoValued({ a, b, c }) {
  if (c.length) return undefined;
  for (const [left, right] of [[a, b], [b, a]]) {
    for (const sign of [1n, -1n]) {
      const difference = sum(left, scaled(right, -sign));
      if (left.length && [...difference.keys()].every((wire) => wire === 0)) {
        const d = difference.get(0) ?? 0n;
        if (d !== 0n) return { l: sum(left), d };
      }
    }
  }
  return undefined;
}

// Linear forms over wires, less what is known of them. When a form of unknown wires turns out to be
// known, one of them (the pivot) is replaced everywhere by the others (Gauss-Jordan elimination,
// kept up to date), so that a form whose value is known is an empty one.
class Forms {
  constructor(wires) {
    this.using = Array.from({ length: wires }, () => new Set());
    this.rows = new Map(); // pivot -> form that equals it, up to what is known
    this.onEmpty = () => {};
  }

  add(terms) {
    const form = sum(terms);
    for (const wire of form.keys()) this.using[wire].add(form);
    return form;
  }

  // The pivot equals the tail (a Map), up to what is known. An empty tail: the wire is known.
  replace(pivot, tail) {
    const forms = this.using[pivot];
    this.using[pivot] = new Set();
    for (const form of forms) {
      const factor = form.get(pivot);
      form.delete(pivot);
      for (const [wire, k] of tail) {
        const total = mod((form.get(wire) ?? 0n) + factor * k);
        if (total) {
          form.set(wire, total);
          this.using[wire].add(form);
        } else {
          form.delete(wire);
          this.using[wire].delete(form);
        }
      }
      if (!form.size) this.onEmpty(form);
    }
  }

  // The value of this form is known.
  learn(form) {
    const [[pivot, k]] = form;
    const rest = [...form].filter(([wire]) => wire !== pivot);
    const tail = this.add(scaled(rest, -inverse(k)));
    this.rows.set(pivot, tail);
    this.replace(pivot, tail);
  }
}

class Circuit {
  constructor(r1cs) {
    this.constraints = r1cs.constraints;
    this.forms = new Forms(r1cs.wires);
    this.solved = new Set();
    const inputs = r1cs.publicInputs + r1cs.privateInputs;
    for (let wire = 0; wire <= inputs; wire++) this.solved.add(wire && wire + r1cs.outputs);
    this.twoValued = this.constraints.map(twoValued);
    this.booleans = new Set(this.twoValued.map(booleanOf).filter((wire) => wire !== undefined));
    this.touching = Array.from({ length: r1cs.wires }, () => []);
    this.linear = new LinearRule(this);
    this.constraints.forEach((constraint, i) => {
      for (const wire of wiresOf(constraint)) this.touching[wire].push(i);
    });
    for (const wire of this.solved) this.forms.replace(wire, new Map());
  }

  known(wire) {
    return this.solved.has(wire) || this.forms.rows.get(wire)?.size === 0;
  }

  unknown(i) {
    return [...wiresOf(this.constraints[i])].filter((wire) => !this.known(wire));
  }

  solve(wires) {
    for (const wire of wires) {
      this.solved.add(wire);
      this.forms.replace(wire, new Map());
    }
  }
}

// The wire that a two-valued form of it alone says to be 0 or 1.
function booleanOf(pair) {
  const variable = [...(pair?.l ?? [])].filter(([wire]) => wire !== 0);
  if (variable.length !== 1) return undefined;
  const [[wire, k]] = variable;
  const values = [0n, pair.d].map((v) => mod((v - (pair.l.get(0) ?? 0n)) * inverse(k)));
  return values.includes(0n) && values.includes(1n) ? wire : undefined;
}

// a * b = c where the values of the forms a and b are known: then so is that of c, and what was known
// of forms adds up to values of wires (one unknown wire each, in the end). The compiler keeps for a
// layer of Poseidon the signals on one side of its matrix only, so single wires would not do.
class LinearRule {
  constructor(circuit) {
    this.forms = circuit.forms;
    this.ready = [];
    const owner = new Map();
    this.sides = circuit.constraints.map(({ a, b, c }) => [a, b, c].map((t) => this.forms.add(t)));
    this.sides.forEach(([a, b], i) => [a, b].forEach((form) => owner.set(form, i)));
    this.forms.onEmpty = (form) => {
      if (owner.has(form)) this.ready.push(owner.get(form));
    };
  }

  run() {
    while (this.ready.length) {
      const [a, b, c] = this.sides[this.ready.pop()];
      if (!a.size && !b.size && c.size) this.forms.learn(c);
    }
  }
}

// l in {0, d}, with l = the rest + sum of k_j * bit_j over the given bits: the choice is one bit more,
// e for l = d or, the other way round, e for l = 0. Both readings, each as
// -rest = constant + sum of weight_j * bit_j.
function readings({ l, d }, bits) {
  const weights = bits.map(([, k]) => k);
  const constant = l.get(0) ?? 0n;
  return [
    { constant, weights: [...weights, mod(-d)] },
    { constant: mod(constant - d), weights: [...weights, d] },
  ];
}

// The weights are unit * 2^0, 2^1, ... 2^(n-1) in any order: a number has one decomposition at most.
function areDigits(weights, unit) {
  const factor = inverse(unit);
  const powers = new Set(weights.map((weight) => mod(weight * factor)));
  return (
    weights.length <= MAX_BITS &&
    powers.size === weights.length &&
    weights.every((_, j) => powers.has(1n << BigInt(j)))
  );
}

const unknownBits = (circuit, l, except) =>
  [...l].filter(([wire]) => wire !== except && !circuit.known(wire));

// l in {0, d} where all unknown wires of l are 0 or 1 and weigh as binary digits do.
function digits(circuit, i) {
  const pair = circuit.twoValued[i];
  if (!pair) return [];
  const bits = unknownBits(circuit, pair.l);
  if (!bits.length || !bits.every(([wire]) => circuit.booleans.has(wire))) return [];
  const unique = readings(pair, bits).some(({ weights }) =>
    weights.some((unit) => areDigits(weights, unit)),
  );
  return unique ? bits.map(([wire]) => wire) : [];
}

// u is 0 or 1, l * x = 0 with u the only unknown of l, and x - u has at most MAX_BITS binary digits, all
// by constraints, with x known. If x is not 0, u is the root of l; if x is 0, u = 1 would leave -1 to
// be decomposed, which has no so short decomposition. So u is determined. (The template Row.)
function gate(circuit, i) {
  const { a, b, c } = circuit.constraints[i];
  const [u, ...others] = circuit.unknown(i);
  if (u === undefined || others.length || c.length || !circuit.booleans.has(u)) return [];
  const holds = [[sum(a), sum(b)], [sum(b), sum(a)]].some(
    ([l, x]) => l.has(u) && circuit.touching[u].some((j) => decomposes(circuit, j, u, x)),
  );
  return holds ? [u] : [];
}

// Constraint j says that x - u is the number with these binary digits (bits and the choice).
function decomposes(circuit, j, u, x) {
  const pair = circuit.twoValued[j];
  if (!pair?.l.has(u)) return false;
  const bits = unknownBits(circuit, pair.l, u);
  if (!bits.length || !bits.every(([wire]) => circuit.booleans.has(wire))) return false;
  // l = constant - unit * (x - u) + digits, with this unit:
  const unit = pair.l.get(u);
  const constant = pair.l.has(0) ? [[0, mod(-pair.l.get(0))]] : [];
  const without = sum([...pair.l], constant, scaled(bits, -1n), scaled([...x, [u, -1n]], unit));
  if (without.size) return false;
  return readings(pair, bits).some(
    ({ constant: rest, weights }) => rest === 0n && areDigits(weights, unit),
  );
}

/** Marks signals until no rule finds more. Returns counts by rule and the wires left over. */
export function propagate(r1cs) {
  const circuit = new Circuit(r1cs);
  const counts = { inputs: circuit.solved.size, digits: 0, gate: 0 };
  let before;
  do {
    before = circuit.solved.size;
    circuit.linear.run();
    for (const i of circuit.constraints.keys()) {
      for (const [name, rule] of Object.entries({ digits, gate })) {
        const found = rule(circuit, i);
        circuit.solve(found);
        counts[name] += found.length;
      }
    }
  } while (circuit.solved.size > before);
  const wires = Array.from({ length: r1cs.wires }, (_, wire) => wire);
  const left = wires.filter((wire) => !circuit.known(wire));
  return { counts: { ...counts, linear: r1cs.wires - left.length - circuit.solved.size }, left };
}

/** Wires that can be changed alone, by one of the amounts, without breaking a constraint. */
export function movable(r1cs, witness, amounts = [1n, ORDER - 1n, 2n ** 200n + 12345n]) {
  const terms = Array.from({ length: r1cs.wires }, () => new Map());
  const values = r1cs.constraints.map(({ a, b, c }, i) => {
    for (const [side, combination] of [a, b, c].entries()) {
      for (const [wire, k] of combination) {
        if (!terms[wire].has(i)) terms[wire].set(i, [0n, 0n, 0n]);
        terms[wire].get(i)[side] += k;
      }
    }
    return [a, b, c].map((combination) => evaluate(combination, witness));
  });
  const breaks = (wire, amount) => {
    for (const [i, [ka, kb, kc]] of terms[wire]) {
      const [va, vb, vc] = values[i];
      if (mod((va + ka * amount) * (vb + kb * amount) - vc - kc * amount) !== 0n) return true;
    }
    return false;
  };
  const found = [];
  for (let wire = 1; wire < r1cs.wires; wire++) {
    if (!amounts.every((amount) => breaks(wire, amount))) found.push(wire);
  }
  return found;
}

async function main([r1csPath, symPath, wasmPath, inputsPath]) {
  const r1cs = readR1cs(r1csPath);
  const nameOf = new Map([...readSymbols(symPath)].map(([name, wire]) => [wire, name]));
  const name = (wire) => nameOf.get(wire) ?? `wire ${wire}`;
  const { counts, left } = propagate(r1cs);
  const report = { wires: r1cs.wires, determined: counts, undetermined: left.map(name) };
  if (wasmPath) {
    const file = { type: 'mem' };
    await snarkjs.wtns.calculate(JSON.parse(readFileSync(inputsPath, 'utf8')), wasmPath, file);
    report.movable = movable(r1cs, readWitness(file.data)).map(name);
  }
  console.log(JSON.stringify(report, null, 1));
  return report.undetermined.length || report.movable?.length ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main(process.argv.slice(2)).then((code) => process.exit(code));
}
