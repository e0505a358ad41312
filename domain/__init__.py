"""Pure rules, one module per context: state, `decide(state, command, now_ms)`, `evolve`."""
