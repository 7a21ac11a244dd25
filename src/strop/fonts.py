"""Fonts with Chinese letters, and what is said where there is none; asked for only where something is drawn."""

from __future__ import annotations

import logging
from functools import lru_cache

CHINESE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",  # how matplotlib calls the file that holds the one above: it reads a collection's first font
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Microsoft YaHei",
    "SimHei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Arial Unicode MS",
)


@lru_cache(maxsize=1)
def chinese_fonts() -> list[str]:
    """The names of those that this system has, the best first."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in CHINESE_FONTS if name in installed]


@lru_cache(maxsize=1)
def chinese_file() -> str | None:
    """The file of the best one; None where there is none."""
    from matplotlib import font_manager

    names = chinese_fonts()
    return font_manager.findfont(names[0]) if names else None


@lru_cache(maxsize=1)
def warn_of_missing() -> None:
    """One sentence with the remedy, once."""
    logging.getLogger("strop").warning(
        "no installed font has all letters of these names, so some can't be read; install one, for example "
        f"{CHINESE_FONTS[0]} or WenQuanYi Zen Hei"
    )
