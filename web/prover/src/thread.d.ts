import type { ProvingWorker } from './index.js';

export function thread(): ProvingWorker;
