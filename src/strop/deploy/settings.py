"""What an exported file does to a picture, as it is written in the file itself."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from ..config import Strict
from ..data.picture import parse_colour
from ..errors import UserError

METADATA = "strop"
LONGEST = 100_000_000  # characters of metadata

Number = Annotated[float, Field(strict=False)]


class Settings(Strict):
    """What happens to a picture before the network, and to the logits after it.

    Attributes:
        input_size: side of the network's square in pixels.
        channels: 1 (grey) or 3 (RGB).
        mean, std: of each channel, in [0, 1].
        temperature: the logits are divided by it before softmax.
        alpha: colour below transparent parts; it is laid on when a file is decoded, before the graph.
    """

    input_size: int = Field(ge=1, le=100_000)
    channels: int = Field(ge=1, le=3)
    mean: tuple[Number, ...] = Field(min_length=1, max_length=3, strict=False)
    std: tuple[Annotated[Number, Field(gt=0)], ...] = Field(min_length=1, max_length=3, strict=False)
    temperature: Number = Field(1.0, gt=0)
    alpha: str = "white"

    @model_validator(mode="after")
    def _one_for_each_channel(self) -> Settings:
        if self.channels == 2 or not len(self.mean) == len(self.std) == self.channels:
            raise ValueError("mean and std have one number for each of 1 or 3 channels")
        parse_colour(self.alpha)
        return self


class About(Strict):
    """The metadata of an exported file: one JSON object under the key "strop"."""

    format: int = Field(ge=1, le=1)
    preprocess: Settings
    classes: list[str] = Field(min_length=1)


def write_about(settings: Settings, classes: list[str]) -> dict[str, str]:
    """The metadata, by its key."""
    about = About(format=1, preprocess=settings, classes=classes)
    return {METADATA: json.dumps(about.model_dump(mode="json"), ensure_ascii=False)}


def read_about(metadata: dict[str, str], where: str) -> About:
    """What `write_about` wrote. Raises UserError for a file that has nothing of the kind."""
    text = metadata.get(METADATA)
    if text is None:
        raise UserError(
            where, "does not say what it does to pictures; an earlier strop exported it, or no strop. Export it again."
        )
    try:
        if len(text) > LONGEST:
            raise ValueError(f"{len(text):,} characters")
        return About.model_validate(json.loads(text))
    except (ValueError, ValidationError, RecursionError, UserError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            where, f"what it says about its pictures is not readable ({reason}). Export it again."
        ) from None
