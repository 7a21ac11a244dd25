"""A picture of what the network will see: originals, each augmentation alone, and all together."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..fonts import chinese_file, warn_of_missing
from . import augmentations, compose

if TYPE_CHECKING:
    import torch
    from PIL import Image

MOST_ROWS = 32
_EPOCHS = 3
_SIDES = 96, 160  # small pictures are enlarged by whole factors to about the first, large ones shrunk to the second
_GAP, _FONT = 6, 13
_INK, _PAPER, _FAINT = "#1f2430", "#ffffff", "#5b6270"


def preview_grid(
    images: torch.Tensor,
    indices: torch.Tensor,
    parts: list[tuple[str, dict[str, Any]]],
    path: str | Path,
    *,
    seed: int,
    names: list[str] | None = None,
) -> Path:
    """Write a labelled PNG: a row for each picture; the original, each part alone, all parts in the first three epochs.

    A part alone is shown at p = 1, or most of its column would be originals; its heading says how often it is used.
    The last columns are exactly what a training with this seed sees.

    Args:
        images: the pictures, at most 32.
        indices: their numbers in the training split; they decide what happens to each.
        parts: (name, options), as `compose` takes them.
        path: a new file; an existing one is not replaced.
        names: what to write beside each row; default: the numbers.
    Shape:
        images: (B, C, H, W) uint8, C 1 or 3. indices: (B,).
    Raises:
        UserError: no pictures, too many, channels that can't be shown, unknown parts, or the file is there or can't
            be written.

    Example:
        >>> preview_grid(batch.images[:8], batch.indices[:8], preset("strong"), "preview.png", seed=0)
    """
    path = Path(path)
    _check(images, path)
    together = compose(parts)
    columns = [("original", "", _shown(images))]
    for name, options in parts:
        settings = _settings(name, options)
        alone = compose([(name, {**settings, "p": 1.0} if "p" in settings else settings)])
        heading = ", ".join(f"{option} {value}" for option, value in settings.items())
        columns.append((name, heading, _shown(alone(images, indices, seed, 0))))
    for epoch in range(_EPOCHS):
        columns.append(("all together", f"epoch {epoch + 1}", _shown(together(images, indices, seed, epoch))))
    labels = names or [str(number) for number in indices.tolist()]
    buffer = io.BytesIO()
    _draw(columns, labels).save(buffer, "PNG")
    try:
        with open(path, "xb") as file:
            file.write(buffer.getvalue())
    except OSError as error:
        raise UserError(str(path), f"can't be written ({error.strerror}). Choose another file.") from None
    return path


def _check(images: torch.Tensor, path: Path) -> None:
    if path.exists():
        raise UserError(str(path), "the file is there; strop overwrites nothing. Choose another name, or remove it.")
    if not 1 <= len(images) <= MOST_ROWS:
        raise UserError("preview", f"{len(images)} pictures do not fit one page. Give 1 to {MOST_ROWS}.")
    if images.shape[1] not in (1, 3):
        raise UserError("preview", f"{images.shape[1]} channels can't be shown. Give grey (1) or colour (3) pictures.")


def _settings(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The part's p, also where it is the default, and the options that were set."""
    known = augmentations.entries()[name].options
    return {"p": known["p"].default, **options} if "p" in known else dict(options)


def _shown(images: torch.Tensor) -> list[Image.Image]:
    """Pictures at the size they are shown. Enlarged pixels stay squares: the network sees no others."""
    from PIL import Image

    height, width = images.shape[2:]
    longer = max(height, width)
    scale = max(1, round(_SIDES[0] / longer)) if longer <= _SIDES[1] else _SIDES[1] / longer
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    pixels = images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().contiguous().numpy()
    return [Image.fromarray(picture).resize(size, how) for picture in pixels]


def _draw(columns: list[tuple[str, str, list[Image.Image]]], labels: list[str]) -> Image.Image:
    """Put the columns side by side under their headings, the labels on the left."""
    from PIL import Image, ImageDraw, ImageFont

    width, height = columns[0][2][0].size
    font = ImageFont.load_default(_FONT)
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    heads = [[first, *_wrap(pen, second, font, width)] for first, second, _ in columns]
    cell = max([width, *(int(pen.textlength(head[0], font)) + 1 for head in heads)]) + _GAP
    beside = [(text := _short(label), _font_of(text, font)) for label in labels]
    margin = max(int(pen.textlength(text, its)) for text, its in beside) + 2 * _GAP
    top = max(map(len, heads)) * (_FONT + 4) + 2 * _GAP
    page = Image.new("RGB", (margin + cell * len(columns), top + (height + _GAP) * len(labels)), _PAPER)
    pen = ImageDraw.Draw(page)
    for row, (text, its) in enumerate(beside):
        pen.text((_GAP, top + row * (height + _GAP) + height // 2), text, _INK, its, anchor="lm")
    for number, (head, (_, _, pictures)) in enumerate(zip(heads, columns, strict=True)):
        left = margin + number * cell
        for line, text in enumerate(head):
            pen.text((left, _GAP + line * (_FONT + 4)), text, _FAINT if line else _INK, font)
        for row, picture in enumerate(pictures):
            page.paste(picture, (left, top + row * (height + _GAP)))
    return page


def _wrap(pen: Any, text: str, font: Any, width: int) -> list[str]:
    """Break "p 0.5, side 0.3" at commas so that each line fits, as far as single settings do."""
    lines: list[str] = []
    for setting in filter(None, text.split(", ")):
        longer = f"{lines[-1]}, {setting}" if lines else setting
        if lines and pen.textlength(longer, font) <= width:
            lines[-1] = longer
        else:
            lines.append(setting)
    return lines


def _short(label: str, most: int = 24) -> str:
    """Labels may be file names of any length, with any characters; what can't be printed becomes a question mark."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in label)
    return plain if len(plain) <= most else f"{plain[: most - 3]}..."


def _font_of(label: str, font: Any) -> Any:
    """The font of everything else has the letters of ASCII only."""
    from PIL import ImageFont

    if label.isascii():
        return font
    path = chinese_file()
    if path is None:
        warn_of_missing()
        return font
    return ImageFont.truetype(path, _FONT)
