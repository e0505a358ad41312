"""What the operator's command does, apart from `run`."""
