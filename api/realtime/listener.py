"""The door's own WebSocket listener, on picows: frames are written as they were encoded, once.

Thin: it admits or refuses upgrades, puts fragments together, and passes bytes on.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Any

import structlog
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from api.realtime.connection import Connection
from api.realtime.frames import PING_FRAME, Wire
from api.realtime.protocol import SUBPROTOCOL, CloseCode, Encoding

if TYPE_CHECKING:
    from api.realtime.server import RealtimeServer

DOOR = "listener"
PATHS = frozenset({b"/", b"/ws", b"/realtime/ws"})
AT_ONCE = 16_384  # bytes that a client's messages of one turn of the loop gather to at most
READ_BUFFER = 2_048  # a connection's, to begin with; it grows with what a client sends
BACKLOG = 2_048
HANDSHAKE_TIMEOUT_S = 5.0
ENCODINGS = {WSMsgType.TEXT: Encoding.JSON, WSMsgType.BINARY: Encoding.MSGPACK}

# picows reports at "error" what clients do wrong, and gives each connection a logger unless it is
# handed an adapter, which costs a kilobyte each; the transport below warns of each write to a
# client that has just gone. What matters is logged by the connection itself.
QUIET = ("vibestream.realtime.picows", "aiofastnet")

log = structlog.get_logger(__name__)


class Listener:
    """Accepts on a port of its own."""

    def __init__(self, door: RealtimeServer, host: str, port: int) -> None:
        self._door = door
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._unsent: list[Peer] = []

    async def start(self) -> None:
        """Listen. OSError if the port is taken."""
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._server = await ws_create_server(
            self._upgrade,
            self._host,
            self._port,
            websocket_handshake_timeout=HANDSHAKE_TIMEOUT_S,
            logger_name=logging.LoggerAdapter(logging.getLogger(QUIET[0]), {}),
            enable_auto_ping=False,
            enable_auto_pong=False,  # a ping costs its sender a token like any message
            max_frame_size=self._door.limits.max_message_bytes,
            read_buffer_init_size=READ_BUFFER,
            backlog=BACKLOG,
            # Replicas of one node share the port, also while one takes over from another.
            reuse_port=True,
        )
        for listening in self._server.sockets:
            # Accepted sockets inherit it.
            size = self._door.limits.socket_buffer_bytes
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None, "not started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def stop_accepting(self) -> None:
        """Close the listening socket; connections stay."""
        if self._server is not None:
            self._server.close()

    def send_soon(self, peer: Peer) -> None:
        """Write what the peer has gathered once this turn of the loop is over.

        A batch of the engine answers many calls of a client at once, and a write to its socket
        costs more than all else that is done for a call's answer.
        """
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._send)
        self._unsent.append(peer)

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        for peer in unsent:
            try:
                peer.flush()
            except Exception:  # a broken transport is that client's alone
                log.exception("write failed")
                peer.cut_off()

    def _upgrade(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        headers = request.headers
        # Firefox says "keep-alive, Upgrade", which picows does not take for an upgrade.
        if "upgrade" in {v.strip() for v in headers.get("connection", "").lower().split(",")}:
            headers["connection"] = "Upgrade"
        if request.path.partition(b"?")[0] not in PATHS:
            return _refusal(404, b"not found", None)
        offered = headers.get("sec-websocket-protocol", "")
        refused = self._door.refuse(headers.get("origin"), offered)
        if refused is not None:
            return _refusal(refused.status, refused.detail.encode(), refused.retry_after_s)
        chosen = {"Sec-WebSocket-Protocol": SUBPROTOCOL} if offered else None
        response = WSUpgradeResponse.create_101_response(chosen)
        return WSUpgradeResponseWithListener(response, Peer(self._door, self))


def _refusal(
    status: int, detail: bytes, retry_after_s: int | None
) -> WSUpgradeResponseWithListener:
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s is not None else None
    response = WSUpgradeResponse.create_error_response(status, detail, headers)
    return WSUpgradeResponseWithListener(response, None)


class Peer(WSListener):
    """One client's transport: an Outlet for the connection, callbacks for picows."""

    __slots__ = (
        *("_connection", "_door", "_fragments", "_kind", "_linger", "_listener", "_raw"),
        *("_transport", "_unsent", "_unsent_bytes"),
    )
    framed = True

    def __init__(self, door: RealtimeServer, listener: Listener) -> None:
        self._door = door
        self._listener = listener
        self._unsent: list[Wire] = []
        self._unsent_bytes = 0
        self._connection: Connection | None = None
        self._transport: Any = None
        self._raw: Any = None
        self._fragments: bytearray | None = None
        self._kind = Encoding.JSON
        self._linger: asyncio.TimerHandle | None = None

    # --- Outlet ---------------------------------------------------------------------------------

    def write(self, data: Wire) -> None:
        """See Outlet."""
        unsent = self._unsent
        if not unsent:
            self._listener.send_soon(self)
        unsent.append(data)
        self._unsent_bytes += len(data)
        if self._unsent_bytes > AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Hand what was gathered to the transport."""
        unsent = self._unsent
        if unsent:
            self._unsent, self._unsent_bytes = [], 0
            self._raw.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))  # type: ignore[arg-type]

    def buffered(self) -> int:
        """See Outlet."""
        size: int = self._raw.get_write_buffer_size()
        return size + self._unsent_bytes

    def ping(self) -> bool:
        """See Outlet."""
        self.write(PING_FRAME)
        return True

    def close(self, code: int, reason: str) -> None:
        """See Outlet. The peer's own close frame ends it, or the linger time."""
        self.flush()
        self._transport.send_close(code, reason.encode())
        linger_s = self._door.limits.close_linger_ms / 1_000
        self._linger = asyncio.get_running_loop().call_later(linger_s, self.cut_off)

    def cut_off(self) -> None:
        """See Outlet."""
        self._transport.disconnect(False)

    # --- picows ---------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The upgrade is done."""
        self._transport = transport
        self._raw = transport.underlying_transport
        soft = self._door.limits.soft_buffer_bytes
        self._raw.set_write_buffer_limits(high=soft, low=soft // 4)
        # picows shows the address only now that the upgrade is done.
        peer = self._raw.get_extra_info("peername") or ("",)
        forwarded = transport.request.headers.get("x-forwarded-for", "")
        if self._door.too_often_ms(peer[0], [forwarded] if forwarded else []):
            self.close(CloseCode.TOO_MANY_MESSAGES, "too many connections")
            return
        self._connection = self._door.open(self, DOOR)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame, whole."""
        connection = self._connection
        if connection is None:
            return
        kind = frame.msg_type
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            connection.close(CloseCode.PROTOCOL_ERROR, "no extension was agreed on")
        elif kind == WSMsgType.CLOSE:
            self._on_close(transport, frame)
        elif kind == WSMsgType.PING:
            connection.alive()
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind == WSMsgType.PONG:
            connection.alive()
        elif kind in ENCODINGS and frame.fin and self._fragments is None:
            connection.received(frame.get_payload_as_bytes(), ENCODINGS[kind])
        else:
            self._on_fragment(connection, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection is gone."""
        if self._linger is not None:
            self._linger.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.lost()

    def pause_writing(self) -> None:
        """Above the high watermark."""
        if self._connection is not None:
            self._connection.congested()

    def resume_writing(self) -> None:
        """Below the low watermark."""
        if self._connection is not None:
            self._connection.relieved()

    def _on_fragment(self, connection: Connection, frame: WSFrame) -> None:
        continues = frame.msg_type == WSMsgType.CONTINUATION
        if continues is (self._fragments is None):
            connection.close(CloseCode.PROTOCOL_ERROR, "fragments out of order")
            return
        if self._fragments is None:
            self._fragments = bytearray()
            self._kind = ENCODINGS[frame.msg_type]
        self._fragments += frame.get_payload_as_bytes()
        if len(self._fragments) > self._door.limits.max_message_bytes:
            connection.close(CloseCode.MESSAGE_TOO_BIG, "message too big")
        elif frame.fin:
            whole, self._fragments = bytes(self._fragments), None
            connection.received(whole, self._kind)

    def _on_close(self, transport: WSTransport, frame: WSFrame) -> None:
        if not transport.is_close_frame_sent:
            code = frame.get_close_code()
            transport.send_close(WSCloseCode.OK if code == WSCloseCode.NO_INFO else code)
        transport.disconnect()
