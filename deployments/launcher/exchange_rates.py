"""The local stand-in for the European Central Bank's rates (`simulators/exchange_rates.py`)."""

from __future__ import annotations

import sys

from deployments.launcher.provider import ROOT, EmbeddedProvider
from simulators.exchange_rates import PATH


class EmbeddedRates(EmbeddedProvider):
    """Reference rates on loopback, of the last working day."""

    title = "exchange rates' stand-in"
    name = "exchange_rates"
    secret_setting = "exchange_rates_url"  # noqa: S105 - a name

    def settings(self) -> dict[str, str]:
        """The settings that lead to it."""
        return {"exchange_rates_url": f"{self.url}{PATH}"}

    def _command(self) -> list[str]:
        start = "import sys; sys.path.insert(0, sys.argv.pop(1)); "
        start += "from simulators.exchange_rates import main; main()"
        return [sys.executable, "-c", start, str(ROOT), str(self.port)]
