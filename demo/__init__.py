"""A client's view of the engine: real music, a story told over HTTP and WebSocket.

Imports nothing of the engine: what works here works for any client.
"""
