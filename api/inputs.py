"""What the bodies of requests share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX_INTEGER = 2**53 - 1  # what every JSON reader holds exactly

Amount = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


class Input(BaseModel):
    """A body that says nothing beyond its fields."""

    model_config = ConfigDict(extra="forbid")
