// Elements of the BN254 scalar field as bigints in 0..ORDER-1.

export const ORDER = 21888242871839275222246405745257275088548364400416034343698204186575808495617n;

/**
 * The value as a field element. Numbers at or above the order are refused, never reduced: the
 * witness calculator and hash libraries reduce silently, so two names would mean one element.
 */
export function element(value, name = 'value') {
  const number = typeof value === 'bigint' ? value : BigInt(value);
  if (number < 0n || number >= ORDER) {
    throw new RangeError(`${name} is not an element of the field`);
  }
  return number;
}

/** A uniformly random element from the platform's CSPRNG (rejection sampling). */
export function randomElement() {
  for (;;) {
    const bytes = globalThis.crypto.getRandomValues(new Uint8Array(32));
    bytes[0] &= 0x3f; // the order has 254 bits: about one draw in four is refused
    const number = fromBytes(bytes);
    if (number < ORDER) return number;
  }
}

/** Big-endian bytes as a number. */
export function fromBytes(bytes) {
  let number = 0n;
  for (const byte of bytes) number = (number << 8n) | BigInt(byte);
  return number;
}

/** Hexadecimal digits, big endian, as a number. */
export function fromHex(text) {
  if (!/^[0-9a-f]+$/i.test(text)) throw new SyntaxError('not hexadecimal');
  return BigInt(`0x${text}`);
}

/** A UUID as its 128-bit number. */
export function fromUuid(text) {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) {
    throw new SyntaxError('not a UUID');
  }
  return BigInt(`0x${text.replaceAll('-', '')}`);
}
