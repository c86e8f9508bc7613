"""The documented differences between weft-proxy and Envoy, and their page."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
LIST = HERE / "differences.json"
PAGE = HERE / "DIFFERENCES.md"

INTRODUCTION = """# Where weft-proxy answers differently from Envoy, on purpose

The differential suite gives the same bootstrap to Envoy 1.40 and to weft-proxy, sends both the same
requests, and compares status, reason, headers, body, framing, trailers, what happens to the connection
and everything the upstream saw. A difference is a bug, or it is listed here with its reason.

This page is written from `differences.json` by `python -m differential.allowed`; a test holds the two
together, and another refuses rows that nothing needs any more. `cases`, `path`, `envoy` and `weft` are
regular expressions over the whole text; *(absent)* is written `-`.
"""


@dataclass(frozen=True)
class Row:
    """One allowed difference."""

    name: str
    reason: str
    path: str
    envoy: str
    weft: str
    cases: str = ".*"

    def allows(self, case, path, envoy, weft):
        pairs = [(self.cases, case), (self.path, path), (self.envoy, envoy or "-"), (self.weft, weft or "-")]
        return all(re.fullmatch(pattern, text, re.DOTALL) for pattern, text in pairs)


def rows():
    """The list."""
    return [Row(**row) for row in json.loads(LIST.read_text())]


def page():
    """The list for people."""
    parts = [INTRODUCTION]
    for row in rows():
        parts.append(f"## {row.name}\n\n{row.reason}\n")
        cells = [("cases", row.cases), ("path", row.path), ("envoy", row.envoy), ("weft", row.weft)]
        lines = [f"| {name} | `{text.replace('|', chr(92) + '|')}` |" for name, text in cells]
        parts.append("| | |\n| --- | --- |\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
