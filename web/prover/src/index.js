export * from './field.js';
export * from './listen.js';
export * as tree from './tree.js';
export { buildInputs, CannotProve } from './inputs.js';
export { fetchFrom, loadArtifacts, WrongArtifact } from './artifacts.js';
export { Prover } from './prover.js';
