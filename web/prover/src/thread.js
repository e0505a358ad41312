// A proving worker in node: `Prover.start(thread(), artifacts)`.
import { Worker } from 'node:worker_threads';

/** A worker thread. It keeps the process alive until its prover is closed. */
export function thread() {
  // snarkjs's own polyfill of workers (web-worker) takes any thread for one that it started, unless
  // there are data without a module in them.
  return new Worker(new URL('./thread.worker.js', import.meta.url), { workerData: {} });
}
