import type { Artifacts, Claim, Proved } from './index.js';

export function prove(
  claim: Claim,
  artifacts: Artifacts,
  options?: { singleThread?: boolean },
): Promise<Proved>;
export function verify(
  verificationKey: unknown,
  proved: Pick<Proved, 'proof' | 'publicSignals'>,
): Promise<boolean>;
