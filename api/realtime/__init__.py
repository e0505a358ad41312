"""The realtime door: one WebSocket protocol, a core without I/O, two thin transports."""
