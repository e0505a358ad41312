pragma circom 2.1.6;

// 9 public signals: the sum of squares of 8 inputs times a secret, and the inputs.
template Squares(n) {
    signal input values[n];
    signal input secret;
    signal output total;
    signal squares[n];
    var sum = 0;
    for (var i = 0; i < n; i++) {
        squares[i] <== values[i] * values[i];
        sum += squares[i];
    }
    total <== sum * secret;
}

component main {public [values]} = Squares(8);
