pragma circom 2.1.6;
include "circomlib/circuits/poseidon.circom";

// A public output and a public input: the hash of a secret and a salt.
template Commitment() {
    signal input secret;
    signal input salt;
    signal output commitment;
    component hash = Poseidon(2);
    hash.inputs[0] <== secret;
    hash.inputs[1] <== salt;
    commitment <== hash.out;
}

component main {public [salt]} = Commitment();
