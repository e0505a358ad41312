// The page's side of a worker that proves: the page stays responsive for the seconds a proof takes.
import { CannotProve } from './inputs.js';

function listen(worker, onMessage, onError) {
  if (worker.addEventListener) {
    worker.addEventListener('message', (event) => onMessage(event.data));
    worker.addEventListener('error', (event) => onError(new Error(event.message)));
  } else {
    worker.on('message', onMessage);
    worker.on('error', onError);
    worker.on('exit', () => onError(new Error('the worker ended')));
  }
}

/** One worker, one proof at a time in the order asked. */
export class Prover {
  #worker;
  #waiting = new Map();
  #next = 0;
  #dead;

  constructor(worker) {
    this.#worker = worker;
    listen(
      worker,
      ({ id, result, error }) => {
        const { resolve, reject } = this.#waiting.get(id);
        this.#waiting.delete(id);
        if (error) reject(new CannotProve(error.code, error.message));
        else resolve(result);
      },
      (error) => this.#end(error),
    );
  }

  #end(error) {
    this.#dead ??= error; // the first reason is the one that says something
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  #ask(message) {
    if (this.#dead) return Promise.reject(this.#dead);
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ...message });
    });
  }

  /** A prover over a worker that holds these artifacts. */
  static async start(worker, artifacts) {
    const prover = new Prover(worker);
    await prover.#ask({ artifacts });
    return prover;
  }

  prove(claim) {
    return this.#ask({ claim });
  }

  async close() {
    this.#end(new Error('the prover was closed'));
    await this.#worker.terminate();
  }
}
