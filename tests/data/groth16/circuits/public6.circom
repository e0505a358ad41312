pragma circom 2.1.6;
include "circomlib/circuits/comparators.circom";
include "circomlib/circuits/poseidon.circom";
include "circomlib/circuits/switcher.circom";

// Six public signals (nullifier, root, least, most, recipient, epoch): one leaf of a tree is mine,
// and what it holds is within two limits.
template Membership(depth) {
    signal input least;
    signal input most;
    signal input recipient;
    signal input epoch;
    signal input secret;
    signal input held;
    signal input right[depth];
    signal input siblings[depth];
    signal output nullifier;
    signal output root;

    component own = Poseidon(2);
    own.inputs[0] <== secret;
    own.inputs[1] <== epoch;
    nullifier <== own.out;

    component leaf = Poseidon(2);
    leaf.inputs[0] <== secret;
    leaf.inputs[1] <== held;
    component side[depth];
    component node[depth];
    signal above[depth + 1];
    above[0] <== leaf.out;
    for (var i = 0; i < depth; i++) {
        right[i] * (right[i] - 1) === 0;
        side[i] = Switcher();
        side[i].sel <== right[i];
        side[i].L <== above[i];
        side[i].R <== siblings[i];
        node[i] = Poseidon(2);
        node[i].inputs[0] <== side[i].outL;
        node[i].inputs[1] <== side[i].outR;
        above[i + 1] <== node[i].out;
    }
    root <== above[depth];

    component low = Num2Bits(16);
    low.in <== held - least;
    component high = Num2Bits(16);
    high.in <== most - held;
    signal bound;
    bound <== recipient * recipient;
}

component main {public [least, most, recipient, epoch]} = Membership(1);
