// The append-only tree of a pool's epoch, built from all its leaves. Who computes a path here, from
// the public list of leaves, tells nobody which leaf is theirs.
import { poseidon2 } from 'poseidon-lite/poseidon2';
import { element } from './field.js';
import { DEPTH } from './listen.js';

/** Roots of empty subtrees by height; an empty leaf is 0. */
export const EMPTY = [0n];
for (let height = 0; height < DEPTH; height++) {
  EMPTY.push(poseidon2([EMPTY[height], EMPTY[height]]));
}

/** Levels from leaves (0) to root (DEPTH), without the empty parts to the right. */
function levels(leaves) {
  if (leaves.length > 2 ** DEPTH) throw new RangeError('more leaves than the tree holds');
  const all = [leaves.map((leaf) => element(leaf, 'leaf'))];
  for (let height = 0; height < DEPTH; height++) {
    const below = all[height];
    const above = [];
    for (let i = 0; i < below.length; i += 2) {
      above.push(poseidon2([below[i], below[i + 1] ?? EMPTY[height]]));
    }
    all.push(above);
  }
  return all;
}

/** Root of the tree with these leaves. */
export function root(leaves) {
  return leaves.length ? levels(leaves)[DEPTH][0] : EMPTY[DEPTH];
}

/** Root of the tree, and the siblings on the way up from the leaf at `index`. */
export function path(leaves, index) {
  if (!Number.isInteger(index) || index < 0 || index >= leaves.length) {
    throw new RangeError('no such leaf');
  }
  const all = levels(leaves);
  const siblings = EMPTY.slice(0, DEPTH).map(
    (empty, height) => all[height][(index >> height) ^ 1] ?? empty,
  );
  return { root: all[DEPTH][0], siblings };
}
