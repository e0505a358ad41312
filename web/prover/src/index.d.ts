/** Elements of the BN254 scalar field, 0..ORDER-1. */
export const ORDER: bigint;
export function element(value: bigint | number | string, name?: string): bigint;
export function randomElement(): bigint;
export function fromBytes(bytes: Iterable<number>): bigint;
export function fromHex(text: string): bigint;
export function fromUuid(text: string): bigint;

export const STATEMENT: 'listen-v1';
export const ROWS: 72;
export const DEPTH: 20;
export const MAX_DELTA_MS: 65535;

export interface Identity {
  secret: bigint;
  commitment: bigint;
}

/** A beat's ticket nonce and the played time, in milliseconds, that it credited. */
export interface Row {
  nonce: bigint;
  deltaMs: number;
}

export function newIdentity(): Identity;
export function commitment(secret: bigint): bigint;
export function sessionElement(sessionId: string, stretch?: number): bigint;
export function stretches(rows: readonly Row[]): Row[][];
export function columns(rows: readonly Row[]): { nonce: bigint[]; deltaMs: bigint[] };
export function chain(rows: readonly Row[]): bigint;
export function playedMs(rows: readonly Row[]): number;
export function leaf(parts: {
  commitment: bigint;
  session: bigint;
  pool: bigint;
  chain: bigint;
}): bigint;
export function nullifier(secret: bigint, session: bigint): bigint;
export function rootFrom(leaf: bigint, index: number, siblings: readonly bigint[]): bigint;
export function claimStep(playedMs: number, steps: readonly number[]): number | undefined;

export namespace tree {
  const EMPTY: readonly bigint[];
  function root(leaves: readonly bigint[]): bigint;
  function path(
    leaves: readonly bigint[],
    index: number,
  ): { root: bigint; siblings: bigint[] };
}

/** All that a proof needs. Only root, minPlayedMs, maxGapMs, recipient and epoch become public. */
export interface Claim {
  secret: bigint;
  session: bigint;
  pool: bigint;
  rows: readonly Row[];
  index: number;
  siblings: readonly bigint[];
  root: bigint;
  minPlayedMs: number;
  maxGapMs: number;
  recipient: bigint;
  epoch: bigint | number;
}

export interface CircuitInputs {
  root: string;
  minPlayedMs: string;
  maxGapMs: string;
  recipient: string;
  epoch: string;
  secret: string;
  session: string;
  pool: string;
  nonce: string[];
  deltaMs: string[];
  index: string;
  siblings: string[];
}

/** code: played-too-short, gap-too-long, leaf-not-in-tree or proving-failed. */
export class CannotProve extends Error {
  constructor(code: string, message: string);
  readonly code: string;
}

export function buildInputs(claim: Claim): CircuitInputs;

export interface Artifacts {
  version: string;
  wasm: Uint8Array;
  zkey: Uint8Array;
}

export type Pins = Record<string, Record<string, { sha256: string; bytes: number }>>;

export class WrongArtifact extends Error {
  constructor(name: string);
  readonly code: 'wrong-artifact';
}

export function loadArtifacts(
  pins: Pins,
  read: (name: string) => Promise<ArrayBuffer | Uint8Array>,
  version?: string,
): Promise<Artifacts>;
export function fetchFrom(base: string | URL): (name: string) => Promise<ArrayBuffer>;

export interface Groth16Proof {
  pi_a: string[];
  pi_b: string[][];
  pi_c: string[];
  protocol: 'groth16';
  curve: 'bn128';
}

/** publicSignals: nullifier, root, min played, max gap (ms), recipient, epoch, as decimal strings. */
export interface Proved {
  version: string;
  proof: Groth16Proof;
  publicSignals: string[];
}

/** A browser's `Worker` (type "module") or node's `worker_threads.Worker`. */
export interface ProvingWorker {
  postMessage(message: unknown): void;
  terminate(): unknown;
}

export class Prover {
  static start(worker: ProvingWorker, artifacts: Artifacts): Promise<Prover>;
  prove(claim: Claim): Promise<Proved>;
  close(): Promise<void>;
}
