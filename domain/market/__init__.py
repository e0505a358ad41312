"""The market of a song's shares: the issue and its sale, the order book, prices, distributions."""
