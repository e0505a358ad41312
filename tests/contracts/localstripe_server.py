"""localstripe on loopback, as a program of its own: `python localstripe_server.py PORT`.

What it does not know of Stripe's interface and our adapter uses is added here, and nothing else:
the texts of a PaymentIntent that decide nothing, `amount_received`, and charges without a dispute.
It keeps nothing on disk.
"""

from __future__ import annotations

import sys
from typing import Any

from aiohttp import web
from localstripe import resources, server


def received(intent: Any) -> int:
    charge = intent.latest_charge
    return charge.amount if charge and charge.captured and charge.status == "succeeded" else 0


def main() -> None:
    make = resources.PaymentIntent._api_create.__func__

    def create(cls: Any, /, description: str = "", return_url: str = "", **asked: Any) -> Any:
        intent = make(cls, **asked)
        intent.description = description
        return intent

    resources.PaymentIntent._api_create = classmethod(create)
    resources.PaymentIntent.amount_received = property(received)
    resources.Charge.dispute = None
    resources.Store.dump_to_disk = lambda _store: None
    web.run_app(server.app, host="127.0.0.1", port=int(sys.argv[1]), print=None)


if __name__ == "__main__":
    main()
