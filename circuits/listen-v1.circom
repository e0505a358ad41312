pragma circom 2.1.6;

// The circuit of statement `listen-v1`: 72 rows (12 minutes of beats), 2^20 leaves a pool and epoch.
include "listen.circom";

component main {public [root, minPlayedMs, maxGapMs, recipient, epoch]} = Listen(6, 20);
