"""Bytes on disk over unique bytes: ``python -m tests.benchmarks.disk [WORKSPACE]`` of a workspace that was built.

In: the results, DVC's cache, the registry's artifacts and what was signed. Out: one line. In between: bytes on disk are
those of different inodes, unique bytes those of different contents (SHA-256), so a file that lies there twice counts
twice above and once below.
"""

import sys
from pathlib import Path

from components.core.files import sha256_file

FOLDERS = ("data", ".dvc/cache", ".pedigree/mlflow/artifacts", ".pedigree/provenance")


def main() -> None:
    """Print the ratio, and the largest contents that lie there more than once."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    files = [path for folder in FOLDERS for path in (root / folder).rglob("*") if path.is_file()]
    inodes = {path.stat().st_ino: (path, path.stat().st_size) for path in files}
    contents: dict[str, list[tuple[Path, int]]] = {}
    for path, size in inodes.values():
        contents.setdefault(sha256_file(path), []).append((path, size))
    on_disk = sum(size for _, size in inodes.values())
    unique = sum(places[0][1] for places in contents.values())
    print(f"{len(files)} files, {on_disk:,} bytes on disk, {unique:,} unique: ratio {on_disk / unique:.4f}")
    doubled = sorted((p for p in contents.values() if len(p) > 1), key=lambda places: -places[0][1] * len(places))
    for places in doubled[:5]:
        print(f"  {places[0][1]:,} bytes, {len(places)} times: {', '.join(str(path) for path, _ in places[:3])}")


if __name__ == "__main__":
    main()
