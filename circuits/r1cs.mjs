// Reading circom's r1cs, sym and wtns files, and evaluating constraints on a witness.
//
// A constraint is a * b = c, each side a linear combination [[wire, coefficient], ...] of wires over
// the BN254 scalar field; wire 0 is the constant 1. Formats: iden3's r1csfile and binfileutils.
import { readFileSync } from 'node:fs';

export const ORDER = 21888242871839275222246405745257275088548364400416034343698204186575808495617n;
const FIELD_BYTES = 32;

export const mod = (value) => ((value % ORDER) + ORDER) % ORDER;

function littleEndian(bytes) {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
}

// Sections of an iden3 binary file by their number.
function sectionsOf(buffer, magic) {
  if (buffer.toString('latin1', 0, 4) !== magic) throw new Error(`not a ${magic} file`);
  const sections = new Map();
  let at = 12;
  for (let left = buffer.readUInt32LE(8); left > 0; left--) {
    const size = Number(buffer.readBigUInt64LE(at + 4));
    sections.set(buffer.readUInt32LE(at), buffer.subarray(at + 12, at + 12 + size));
    at += 12 + size;
  }
  return sections;
}

function checkField(bytes, order) {
  if (bytes !== FIELD_BYTES || littleEndian(order) !== ORDER) throw new Error('another field');
}

export function readR1cs(path) {
  const sections = sectionsOf(readFileSync(path), 'r1cs');
  const header = sections.get(1);
  checkField(header.readUInt32LE(0), header.subarray(4, 4 + FIELD_BYTES));
  const number = (i) => header.readUInt32LE(4 + FIELD_BYTES + 4 * i);
  const [wires, outputs, publicInputs, privateInputs] = [0, 1, 2, 3].map(number);
  const count = number(6); // after an 8-byte count of labels

  const body = sections.get(2);
  let at = 0;
  const combination = () => {
    const terms = [];
    const size = body.readUInt32LE(at);
    at += 4;
    for (let i = 0; i < size; i++) {
      const coefficient = littleEndian(body.subarray(at + 4, at + 4 + FIELD_BYTES));
      terms.push([body.readUInt32LE(at), coefficient]);
      at += 4 + FIELD_BYTES;
    }
    return terms;
  };
  const constraints = [];
  for (let i = 0; i < count; i++) {
    constraints.push({ a: combination(), b: combination(), c: combination() });
  }
  return { wires, outputs, publicInputs, privateInputs, constraints };
}

// Wire of each signal that survived the compiler's simplification, by the signal's full name.
export function readSymbols(path) {
  const wireOf = new Map();
  for (const line of readFileSync(path, 'utf8').trim().split('\n')) {
    const [, wire, , name] = line.split(',');
    if (Number(wire) >= 0) wireOf.set(name, Number(wire));
  }
  return wireOf;
}

export function readWitness(bytes) {
  const sections = sectionsOf(Buffer.from(bytes), 'wtns');
  checkField(sections.get(1).readUInt32LE(0), sections.get(1).subarray(4, 4 + FIELD_BYTES));
  const body = sections.get(2);
  return Array.from({ length: body.length / FIELD_BYTES }, (_, i) =>
    littleEndian(body.subarray(i * FIELD_BYTES, (i + 1) * FIELD_BYTES)),
  );
}

export function writeWitness(values) {
  const bytes = Buffer.alloc(12 + 12 + 40 + 12 + FIELD_BYTES * values.length);
  const put = (value, at) => {
    Buffer.from(value.toString(16).padStart(2 * FIELD_BYTES, '0'), 'hex').reverse().copy(bytes, at);
  };
  bytes.write('wtns', 0, 'latin1');
  bytes.writeUInt32LE(2, 4);
  bytes.writeUInt32LE(2, 8);
  bytes.writeUInt32LE(1, 12);
  bytes.writeBigUInt64LE(40n, 16);
  bytes.writeUInt32LE(FIELD_BYTES, 24);
  put(ORDER, 28);
  bytes.writeUInt32LE(values.length, 60);
  bytes.writeUInt32LE(2, 64);
  bytes.writeBigUInt64LE(BigInt(FIELD_BYTES * values.length), 68);
  values.forEach((value, i) => put(value, 76 + FIELD_BYTES * i));
  return new Uint8Array(bytes);
}

export function evaluate(terms, witness) {
  return mod(terms.reduce((sum, [wire, coefficient]) => sum + coefficient * witness[wire], 0n));
}

// Indices of the constraints that a witness breaks.
export function broken(r1cs, witness) {
  const found = [];
  r1cs.constraints.forEach(({ a, b, c }, i) => {
    const difference = evaluate(a, witness) * evaluate(b, witness) - evaluate(c, witness);
    if (difference % ORDER !== 0n) found.push(i);
  });
  return found;
}

export function wiresOf({ a, b, c }) {
  return new Set([...a, ...b, ...c].map(([wire]) => wire));
}
