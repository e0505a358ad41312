// Witness and Groth16 proof with snarkjs, in the calling thread.
import * as snarkjs from 'snarkjs';
import { buildInputs } from './inputs.js';

/**
 * Proves a claim. Threads of snarkjs's own are off by default: they need a content security policy
 * that allows workers from blobs, and keep a node process alive.
 */
export async function prove(claim, artifacts, { singleThread = true } = {}) {
  const { proof, publicSignals } = await snarkjs.groth16.fullProve(
    buildInputs(claim),
    artifacts.wasm,
    artifacts.zkey,
    undefined,
    undefined,
    { singleThread },
  );
  return { version: artifacts.version, proof, publicSignals };
}

/** Whether snarkjs accepts the proof under this verification key (for tests and diagnosis). */
export function verify(verificationKey, { proof, publicSignals }) {
  return snarkjs.groth16.verify(verificationKey, publicSignals, proof);
}
