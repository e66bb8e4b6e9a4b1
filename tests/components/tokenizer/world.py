"""A tiny world for ``tokenizer``: sentences in three splits."""

from pathlib import Path
from typing import Any

from components.core.documents import CORPUS, DocumentWriter, document_id

CONFIG: dict[str, Any] = {"vocabulary_size": 300, "min_frequency": 2}
SENTENCES = ("the cat sat on the mat", "the dog ate the cat's food – all of it", "猫は魚を食べる", "tabs\tand\nlines")


def write_corpus(folder: Path, rows: list[tuple[str, str]], shard_documents: int = 7) -> Path:
    """Write rows of (split, text) as ``preprocess`` does."""
    folder.mkdir(parents=True, exist_ok=True)
    with DocumentWriter(folder, shard_documents, CORPUS) as writer:
        for number, (split, text) in enumerate(rows):
            doc_id = document_id("notes", str(number))
            writer.add((doc_id, text, "notes", f"notes/{number}", "CC0-1.0", None, "{}", split))
    return folder


def make_rows(num_documents: int = 40) -> list[tuple[str, str]]:
    """Rows of which every eighth is for validation and every eighth for test."""
    splits = ("validation", "test", *["train"] * 6)
    return [(splits[n % 8], f"{SENTENCES[n % len(SENTENCES)]} number {n}") for n in range(num_documents)]


def make_world(folder: Path) -> dict[str, Path]:
    """Write the corpus."""
    return {"corpus": write_corpus(folder / "corpus", make_rows())}
