"""Set-up faults that tests plant."""

from pathlib import Path


def plant_package(folder: Path, name: str, version: str) -> None:
    """Metadata of a package, as pip writes it, in a folder that is to come first on the path."""
    place = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
