"""Fetch the charting library that the HTML report carries inside itself.

    python tools/vendor_chartjs.py

Takes the package from npm, checks both files against the hashes below, and writes them to
src/strop/report/vendor. A new version means: change VERSION and the hashes in one commit.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "4.6.1"
VENDOR = Path(__file__).parent.parent / "src" / "strop" / "report" / "vendor"
FILES = {
    "package/dist/chart.umd.min.js": (
        "chart.umd.js",
        "87364cc2b2a76a6684929e7d6b80b18a897794db38400caff1fcf1791c6925d2",
    ),
    "package/LICENSE.md": ("chart.LICENSE.md", "41a84aa2caba645f966a18d9c2056b73e6d3a81d80bc0046bc0011a2634d4cce"),
}


def fetch(folder: Path) -> Path:
    """The package as npm packs it."""
    command = ["npm", "pack", f"chart.js@{VERSION}", "--silent", "--pack-destination", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("chart.js-*.tgz"))


def read_checked(package: Path) -> dict[str, bytes]:
    """Content by target name. Raises SystemExit where a hash is not the one written above."""
    content = {}
    with tarfile.open(package) as archive:
        for member, (target, expected) in FILES.items():
            data = archive.extractfile(member).read()
            found = hashlib.sha256(data).hexdigest()
            if found != expected:
                sys.exit(f"{member} of chart.js {VERSION}: sha256 is {found}, not {expected}. Nothing was written.")
            content[target] = data
    return content


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        content = read_checked(fetch(Path(folder)))
    VENDOR.mkdir(parents=True, exist_ok=True)
    for target, data in content.items():
        (VENDOR / target).write_bytes(data)
        print(f"{target}: {len(data)} bytes")


if __name__ == "__main__":
    main()
