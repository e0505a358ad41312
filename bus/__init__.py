"""The event bus: relay from the outbox to Redis Streams, and its consumers."""
