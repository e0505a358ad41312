pragma circom 2.1.6;

// Nothing public: a cube root of 27.
template Root() {
    signal input a;
    signal square;
    square <== a * a;
    square * a === 27;
}

component main = Root();
