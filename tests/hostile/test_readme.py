"""The walk through the attacks (README.md) names tests that exist, and all that do."""

import re
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NAMED = re.findall(r"`([\w/]+\.(?:py|rs))::(\w+)`", (HERE / "README.md").read_text())


def test_every_test_that_is_named_exists():
    missing = []
    for path, name in NAMED:
        if path.endswith(".rs"):
            found = re.search(rf"#\[(tokio::)?test[^\]]*\]\s+(async )?fn {name}\(", (ROOT / path).read_text())
        else:
            found = re.search(rf"^def {name}\(", (HERE / path).read_text(), re.MULTILINE)
        if not found:
            missing.append(f"{path}::{name}")
    assert not missing


def test_every_test_is_named():
    tests = {
        (path.name, name)
        for path in HERE.glob("test_*.py")
        if path.name != Path(__file__).name
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)
    }
    assert not tests - set(NAMED)


def test_a_flood_that_is_said_to_leave_memory_flat_measures_it():
    unmeasured = []
    for line in (HERE / "README.md").read_text().splitlines():
        if "| flat |" not in line:
            continue
        bodies = [body(path, name) for path, name in re.findall(r"`(\w+\.py)::(\w+)`", line)]
        if not any("flat(" in text or "resident_kib" in text or "(attacked" in text for text in bodies):
            unmeasured.append(line)
    assert not unmeasured


def body(path, name):
    """A test with its arguments, up to the next one."""
    text = (HERE / path).read_text()
    return re.search(rf"^def {name}\(.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL).group()
