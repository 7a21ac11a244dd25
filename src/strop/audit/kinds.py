"""The kinds of findings: how bad each is, and what is said about it."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """One kind of finding: how bad, its heading, and the sentence for one and for many; {n} is the count."""

    severity: str
    title: str
    one: str
    many: str


KINDS = {
    "layout": Kind("error", "Folders", "{n} thing in the folders stops a training.", "{n} things stop a training."),
    "name": Kind("error", "File names", "{n} name is not UTF-8; rename it.", "{n} names are not UTF-8; rename them."),
    "link": Kind(
        "error",
        "Links",
        "{n} link leads out of the folder, to nothing, or to pictures that would count twice.",
        "{n} links lead out of the folder, to nothing, or to pictures that would count twice.",
    ),
    "stray": Kind(
        "error",
        "Pictures without a class",
        "{n} picture lies outside of any class folder. Move it into its class.",
        "{n} pictures lie outside of any class folder. Move them into their class.",
    ),
    "empty-class": Kind(
        "error",
        "Empty classes",
        "{n} class folder holds no readable picture; fill or remove it.",
        "{n} class folders hold no readable picture; fill or remove them.",
    ),
    "unknown-class": Kind(
        "error",
        "Unknown classes",
        "{n} class outside of train is not in train; rename or remove it.",
        "{n} classes outside of train are not in train; rename or remove them.",
    ),
    "unreadable": Kind("error", "Not readable", "{n} file can't be read at all.", "{n} files can't be read at all."),
    "empty-file": Kind("error", "Empty files", "{n} file has 0 bytes.", "{n} files have 0 bytes."),
    "not-a-picture": Kind(
        "error",
        "No pictures",
        "{n} file is called like a picture and is none.",
        "{n} files are called like pictures and are none.",
    ),
    "truncated": Kind("error", "Cut short", "{n} picture is cut short.", "{n} pictures are cut short."),
    "corrupt": Kind("error", "Corrupt", "{n} picture can't be decoded.", "{n} pictures can't be decoded."),
    "too-large": Kind(
        "error",
        "Too large",
        "{n} file is larger than strop reads; it was not decoded.",
        "{n} files are larger than strop reads; they were not decoded.",
    ),
    "leak": Kind(
        "error",
        "Leaks between splits",
        "{n} picture of {later} is in {earlier} too.",
        "{n} pictures of {later} are in {earlier} too.",
    ),
    "two-labels": Kind(
        "error",
        "One picture, two labels",
        "{n} picture stands under more than one label.",
        "{n} pictures stand under more than one label.",
    ),
    "near-leak": Kind(
        "warning",
        "Near leaks between splits",
        "{n} picture of {later} has a near copy in {earlier}.",
        "{n} pictures of {later} have a near copy in {earlier}.",
    ),
    "near-two-labels": Kind(
        "warning",
        "Near copies, two labels",
        "{n} pair of near copies stands under two labels.",
        "{n} pairs of near copies stand under two labels.",
    ),
    "duplicate": Kind(
        "warning",
        "Exact duplicates",
        "{n} picture repeats another of its class and split.",
        "{n} pictures repeat another of their class and split.",
    ),
    "near-duplicate": Kind(
        "warning",
        "Near duplicates",
        "{n} picture is a near copy of another of its class and split.",
        "{n} pictures are near copies of another of their class and split.",
    ),
    "label": Kind(
        "warning",
        "Likely label errors",
        "{n} label: a cheap model that did not see it finds another {far} times likelier ({right} % of its answers "
        "fit).",
        "{n} labels: a cheap model that did not see them finds others {far} times likelier ({right} % of its answers "
        "fit).",
    ),
    "missing-class": Kind(
        "warning",
        "Missing classes",
        "{n} class of train has no picture in another split.",
        "{n} classes of train have no picture in another split.",
    ),
    "few": Kind(
        "warning",
        "Very small classes",
        "{n} class has fewer than {least} pictures to learn from.",
        "{n} classes have fewer than {least} pictures to learn from.",
    ),
    "imbalance": Kind(
        "warning",
        "Imbalance",
        "The largest class of train has {ratio} times the pictures of the smallest.",
        "The largest class of train has {ratio} times the pictures of the smallest.",
    ),
    "blank": Kind("warning", "Blank", "{n} picture shows one flat colour.", "{n} pictures show one flat colour."),
    "tiny": Kind("warning", "Very small pictures", "{n} picture is very small.", "{n} pictures are very small."),
    "huge": Kind(
        "warning",
        "Very large pictures",
        "{n} picture is far larger than the others; loading it is slow.",
        "{n} pictures are far larger than the others; loading them is slow.",
    ),
    "one-channel": Kind(
        "warning",
        "One colour channel",
        "{n} colour picture uses one of its three channels only.",
        "{n} colour pictures use one of their three channels only.",
    ),
    "grey-class": Kind(
        "warning",
        "Colour tells the class",
        "{n} class is grey where others are coloured, or the reverse: a model can learn that instead.",
        "{n} classes are grey where others are coloured, or the reverse: a model can learn that instead.",
    ),
    "grey": Kind("note", "Grey pictures", "{n} picture of {total} is grey.", "{n} pictures of {total} are grey."),
    "resolution": Kind(
        "note",
        "Sizes",
        "Sizes differ: {smallest} to {largest}, median {median}.",
        "Sizes differ: {smallest} to {largest}, median {median}.",
    ),
    "passed-over": Kind("note", "Passed over", "{n} thing was passed over.", "{n} things were passed over."),
    "limit": Kind("note", "Not looked at", "{n} part of the search was cut short.", "{n} parts were cut short."),
}
