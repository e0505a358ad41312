"""What `make run` starts on a bare machine, and how it is watched and ended."""
