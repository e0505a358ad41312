pragma circom 2.1.6;

// Statement `listen-v1` (docs/decisions/0008-listening-proof.md says why it is this one):
//
//   I know the secret of a registered identity and a stretch of a listening session (its beats'
//   tickets and played times) whose leaf is in the tree with this root; it played at least
//   minPlayedMs, no beat of it credits more than maxGapMs, this is its nullifier, and the reward
//   goes to this recipient in this epoch.
//
// Public signals, in this order: nullifier, root, minPlayedMs, maxGapMs, recipient, epoch.
// The identity, its session, the song and the beats stay private; the recipient may be anyone.
//
// Two rules hold in every template below, and tests check them:
//   - a value assigned with `<--` is a hint: constraints alone fix it, the hint only finds it;
//   - a difference is compared by range-checking both operands first, as the field has no order
//     and a negative number is a huge one.

include "circomlib/circuits/bitify.circom";
include "circomlib/circuits/poseidon.circom";
include "circomlib/circuits/switcher.circom";

// Refuses a value outside 0..2^bits-1. bits must stay below 253, so that no other
// decomposition exists modulo the field's order.
template InRange(bits) {
    signal input in;

    // Num2Bits constrains each bit to 0 or 1 and their weighted sum to the value.
    component decomposition = Num2Bits(bits);
    decomposition.in <== in;
}

// One beat: the ticket's nonce and the played time it credits. A row is used or empty.
template Row() {
    signal input nonce;
    signal input deltaMs;
    signal input maxGapMs; // range-checked to 16 bits by the caller
    signal output used;

    // A hint: the constraints below leave 0 as the only choice when deltaMs is 0, for a used row
    // needs deltaMs >= 1, and 1 when it is not.
    used <-- deltaMs != 0 ? 1 : 0;
    used * (used - 1) === 0;

    // An empty row is (0, 0).
    (1 - used) * deltaMs === 0;
    (1 - used) * nonce === 0;

    // A used row has 1 <= deltaMs <= 2^16: time strictly increases. (Of an empty row this
    // range-checks 0.)
    component positive = InRange(16);
    positive.in <== deltaMs - used;

    // deltaMs <= maxGapMs: both lie in 0..2^16, so a greater deltaMs would make the difference
    // negative, far outside the range. With maxGapMs below 2^16 deltaMs is as well.
    component within = InRange(16);
    within.in <== maxGapMs - deltaMs;
}

// The chain's value over rows in chunks of 12: all chunks are always hashed, so the number of
// used rows does not show in the work done and needs no signal of its own.
template Chain(chunks) {
    signal input nonce[12 * chunks];
    signal input deltaMs[12 * chunks]; // each below 2^16: packing is one-to-one only then
    signal output out;

    component hash[chunks];
    for (var k = 0; k < chunks; k++) {
        hash[k] = Poseidon(14);
        hash[k].inputs[0] <== k == 0 ? 0 : hash[k - 1].out;
        var packed = 0;
        for (var j = 0; j < 12; j++) {
            hash[k].inputs[1 + j] <== nonce[12 * k + j];
            packed += deltaMs[12 * k + j] * (1 << (16 * j));
        }
        hash[k].inputs[13] <== packed;
    }
    out <== hash[chunks - 1].out;
}

// The root of a binary Poseidon tree from a leaf, its index and the siblings on its way up.
template MerkleRoot(depth) {
    signal input leaf;
    signal input index;
    signal input siblings[depth];
    signal output root;

    component side = Num2Bits(depth);
    side.in <== index;

    component children[depth];
    component node[depth];
    for (var i = 0; i < depth; i++) {
        // Bit i says whether the node below is the right child.
        children[i] = Switcher();
        children[i].sel <== side.out[i];
        children[i].L <== i == 0 ? leaf : node[i - 1].out;
        children[i].R <== siblings[i];
        node[i] = Poseidon(2);
        node[i].inputs[0] <== children[i].outL;
        node[i].inputs[1] <== children[i].outR;
    }
    root <== node[depth - 1].out;
}

// chunks * 12 rows, a tree of 2^depth leaves. The sum of all deltas must stay below 2^23.
template Listen(chunks, depth) {
    var rows = 12 * chunks;
    assert(rows * 65535 < 1 << 23);

    signal output nullifier;
    signal input root;
    signal input minPlayedMs;
    signal input maxGapMs;
    signal input recipient;
    signal input epoch;

    signal input secret;
    signal input session; // the session's UUID as a number * 256 + stretch
    signal input pool;
    signal input nonce[rows];
    signal input deltaMs[rows];
    signal input index;
    signal input siblings[depth];

    // Public numbers are range-checked too: the comparisons must not rest on the verifier's care.
    component minRange = InRange(23);
    minRange.in <== minPlayedMs;
    component gapRange = InRange(16);
    gapRange.in <== maxGapMs;

    component row[rows];
    var playedMs = 0;
    for (var i = 0; i < rows; i++) {
        row[i] = Row();
        row[i].nonce <== nonce[i];
        row[i].deltaMs <== deltaMs[i];
        row[i].maxGapMs <== maxGapMs;
        // Used rows come first: none follows an empty one.
        if (i > 0) {
            row[i].used * (1 - row[i - 1].used) === 0;
        }
        playedMs += deltaMs[i];
    }

    // playedMs >= minPlayedMs: both are below 2^23.
    component enough = InRange(23);
    enough.in <== playedMs - minPlayedMs;

    component commitment = Poseidon(1);
    commitment.inputs[0] <== secret;

    component chain = Chain(chunks);
    chain.nonce <== nonce;
    chain.deltaMs <== deltaMs;

    component leaf = Poseidon(4);
    leaf.inputs[0] <== commitment.out;
    leaf.inputs[1] <== session;
    leaf.inputs[2] <== pool;
    leaf.inputs[3] <== chain.out;

    component tree = MerkleRoot(depth);
    tree.leaf <== leaf.out;
    tree.index <== index;
    tree.siblings <== siblings;
    tree.root === root;

    component spent = Poseidon(2);
    spent.inputs[0] <== secret;
    spent.inputs[1] <== session;
    nullifier <== spent.out;

    // Nothing above speaks of recipient and epoch. A constraint on each keeps the compiler from
    // dropping them and binds them: a proof for one recipient is no proof for another.
    signal recipientBound;
    recipientBound <== recipient * recipient;
    signal epochBound;
    epochBound <== epoch * epoch;
}
