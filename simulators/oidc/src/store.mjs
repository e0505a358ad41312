// What a provider must remember, in memory: one store a dialect, so that no session crosses over.

const GRANTED = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken']);
const MAX_ENTRIES = 10_000;

/** @returns the adapter factory that oidc-provider asks for: model name → adapter. */
export function memoryStore() {
  const entries = new Map();
  return (model) => new Adapter(model, entries);
}

class Adapter {
  constructor(model, entries) {
    this.model = model;
    this.entries = entries;
  }

  async upsert(id, payload, expiresIn) {
    const key = this.#key(id);
    this.entries.delete(key);
    this.entries.set(key, { payload, expiresAt: Date.now() + (expiresIn ?? 3_600) * 1_000 });
    if (this.entries.size > MAX_ENTRIES) this.entries.delete(this.entries.keys().next().value);
  }

  async find(id) {
    return this.#live(this.#key(id));
  }

  async findByUid(uid) {
    return this.#first((payload) => payload.uid === uid);
  }

  async findByUserCode(userCode) {
    return this.#first((payload) => payload.userCode === userCode);
  }

  async consume(id) {
    const payload = this.#live(this.#key(id));
    if (payload) payload.consumed = Math.floor(Date.now() / 1_000);
  }

  async destroy(id) {
    this.entries.delete(this.#key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, { payload }] of this.entries) {
      const [model] = key.split(':', 1);
      if (GRANTED.has(model) && payload.grantId === grantId) this.entries.delete(key);
    }
  }

  #key(id) {
    return `${this.model}:${id}`;
  }

  #live(key) {
    const entry = this.entries.get(key);
    if (entry && entry.expiresAt <= Date.now()) this.entries.delete(key);
    return this.entries.get(key)?.payload;
  }

  #first(matches) {
    for (const key of this.entries.keys()) {
      const payload = key.startsWith(`${this.model}:`) ? this.#live(key) : undefined;
      if (payload && matches(payload)) return payload;
    }
    return undefined;
  }
}
