"""The versions of requirements.lock."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCKED = {
    name.lower(): version
    for name, _, version in (line.strip().partition("==") for line in (ROOT / "requirements.lock").open())
    if version and not name.startswith("#")
}
