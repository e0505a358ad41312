"""The language that contexts share: commands, events, values and errors. No I/O, no clock."""
