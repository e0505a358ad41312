"""Drops: numbered tokens (NFTs) that a campaign sells for a song, a fixed supply at one price."""
