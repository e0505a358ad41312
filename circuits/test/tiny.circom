pragma circom 2.1.6;

// The smallest circuit worth a ceremony: for the test of ceremony.mjs.
template Square() {
    signal input root;
    signal output square;
    square <== root * root;
}

component main = Square();
