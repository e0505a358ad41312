"""HTTP and WebSocket doors: routers, schemas, problem details, realtime protocol."""
