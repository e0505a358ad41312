"""What the realtime door may refuse. The protocol itself is `api/realtime/protocol.py`."""

from __future__ import annotations

from messages.errors import Conflict, Forbidden, Invalid, Limited, NotFound


class BadMessage(Invalid):
    """This is not a message of the realtime protocol."""

    code = "message-invalid"


class BadParams(Invalid):
    """The parameters do not fit the operation."""

    code = "params-invalid"


class UnknownOperation(NotFound):
    """There is no such operation."""

    code = "operation-unknown"


class UnknownChannel(NotFound):
    """There is no such channel."""

    code = "channel-unknown"


class ChannelForbidden(Forbidden):
    """This channel is not yours to listen to."""

    code = "channel-forbidden"


class AlreadySubscribed(Conflict):
    """This connection listens to the channel already."""

    code = "channel-subscribed"


class CallIdInUse(Conflict):
    """A call of this connection with the same id is under way."""

    code = "call-id-in-use"


class OtherUser(Conflict):
    """The token is another user's; open a new connection."""

    code = "token-other-user"


class TooManySubscriptions(Limited):
    """A connection listens to a limited number of channels."""

    code = "subscriptions-limit"


class TooManyMessages(Limited):
    """The connection sends faster than it may; the message was not looked at."""

    code = "messages-limit"
