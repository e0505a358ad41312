pragma circom 2.1.6;

// One public output: a product.
template Product() {
    signal input a;
    signal input b;
    signal output product;
    product <== a * b;
}

component main = Product();
