"""`pedigree impact`: which versions were trained on a document, a record, a text, a source, or all under a licence.

In: what to look for. Out: every version of every model with what it has to do with it, and the first step that saw
it; of the models that were made from it by name. In between: only signed statements and the indexes that they name are
believed; a version that cannot tell is told as such and never left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import InputError, PedigreeError
from components.core.keys import PublicKey, believed_keys
from components.provenance.exposure import (
    BYPRODUCT,
    COPY,
    INDEX,
    Exposure,
    Hit,
    Total,
    key_of_document,
    key_of_text,
)
from components.provenance.lessons import FINETUNED
from components.provenance.verify import read_signed
from components.registry import Version, folder_of, list_models, list_versions

_HOW = {COPY: "a copy of it that was kept"}


@dataclass(frozen=True)
class Seen:
    """One version with the indexes of its trainings, its own first, those of what was made from it last.

    ``fault`` says why some of them are not there, or all.
    """

    version: Version
    exposures: Sequence[Exposure] = ()
    fault: str = ""

    @property
    def name(self) -> str:
        """The version as people call it."""
        aliases = f" ({', '.join(self.version.aliases)})" if self.version.aliases else ""
        return f"{self.version.name} version {self.version.number}{aliases}"


@dataclass(frozen=True)
class Question:
    """What to look for: its kind, its name, and how to ask an index; ``texts`` is a text raw and as a corpus has it."""

    kind: str
    name: str
    ask: Callable[[Exposure], Hit | Total | None]
    texts: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text as it was given."""
        return self.texts[0]


def impact(what: str) -> int:
    """Print what every version has to do with it; returns 0, or 4 when a version cannot tell. Raises PedigreeError."""
    versions = list(seen_versions())
    show(understand(what, versions), versions)
    return InputError.exit_code if any(seen.fault for seen in versions) else 0


def show(question: Question, versions: Sequence[Seen]) -> None:
    """Print what every version has to do with it."""
    print(f"Looked for the {question.kind} {question.name}.")
    answers = [(seen, answer(question, seen)) for seen in versions]
    for seen, (_, text) in answers:
        print(f"  {seen.name:40} {text}")
    trained = [seen for seen, (is_trained, _) in answers if is_trained]
    print(f"{len(trained)} of {len(versions)} versions were trained on it.")


def seen_versions() -> Iterator[Seen]:
    """Every version of every model, newest first, with its indexes. Raises RegistryError."""
    keys = believed_keys()
    for name in list_models():
        for version in list_versions(name):
            exposures, fault = list[Exposure](), ""
            try:
                exposures.extend(_exposures(version, keys))
            except PedigreeError as error:
                fault = f"{error.found} ({error.where})"
            yield Seen(version, exposures, fault or ("" if exposures else "its statement names no index"))


def understand(what: str, versions: Sequence[Seen]) -> Question:
    """What was meant: a source or a licence that a version knows, a document's identity, else a text (or its file)."""
    exposures = [exposure for seen in versions for exposure in seen.exposures]
    for kind, by in (("source", "sources"), ("licence", "licences")):
        if any(exposure.total(by, what) for exposure in exposures):
            return Question(kind, what, lambda exposure, by=by: exposure.total(by, what))  # type: ignore[misc]
    if re.fullmatch(r"[0-9a-f]{32}", what):
        return Question("document", what, lambda exposure: exposure.find(key_of_document(what)))
    text = Path(what).read_text(encoding="utf-8") if _is_file(what) else what
    texts = (text, _as_in_a_corpus(text))
    keys = [key_of_text(spelling) for spelling in texts]
    shown = " ".join(text.split())
    shown = f"{shown[:57]}..." if len(shown) > 60 else shown
    return Question("text", repr(shown), lambda exposure: next(filter(None, map(exposure.find, keys)), None), texts)


def answer(question: Question, seen: Seen) -> tuple[bool, str]:
    """Whether a version, or what was made from it, was trained on it, and that in words."""
    trainings = [exposure for exposure in seen.exposures if not exposure.finetuned]
    answers = [_answer_of_model(question, trainings)] if trainings else []
    for exposure in seen.exposures:
        if exposure.finetuned and (hit := question.ask(exposure)):
            told = f"{exposure.finetuned}: {_in_words(hit, is_finetuned=True)}"
            answers.append((hit.first_step is not None, told))
    if seen.fault:
        answers.append((False, f"cannot tell: {seen.fault}"))
    return any(is_trained for is_trained, _ in answers), "; ".join(text for _, text in answers)


def _answer_of_model(question: Question, trainings: Sequence[Exposure]) -> tuple[bool, str]:
    found = [(number, hit) for number, exposure in enumerate(trainings) if (hit := question.ask(exposure))]
    if not found:
        return False, "not in its corpus"
    number, hit = next(((n, h) for n, h in found if h.first_step is not None), found[0])
    return hit.first_step is not None, _in_words(hit) + (" through its parent" if number else "")


def _exposures(version: Version, keys: Mapping[str, PublicKey]) -> Iterator[Exposure]:
    folder = folder_of(version)
    statement = read_signed(folder, keys)
    if statement.digest != version.digest:
        raise InputError(str(folder), found=f"a statement of version {statement.digest[:16]}",
                         expected=version.digest, fix="`pedigree run register` attests it anew")  # fmt: skip
    indexes = [(one.name.removeprefix(BYPRODUCT), one.digest["sha256"])
               for one in statement.predicate.runDetails.byproducts if one.name.startswith(BYPRODUCT)]  # fmt: skip
    yield from (Exposure(INDEX, training, digest) for training, digest in indexes)
    known = {training for training, _ in indexes}
    for part, digest in statement.predicate.buildDefinition.externalParameters["parts"].items():
        if part.startswith(FINETUNED) and digest not in known:
            raise InputError(str(folder), found=f"no index of {part}", expected="one of every training",
                             fix="`pedigree run` registers versions with all their indexes")  # fmt: skip


def _in_words(hit: Hit | Total, *, is_finetuned: bool = False) -> str:
    if isinstance(hit, Total):
        what = "documents and records" if is_finetuned else "documents"
        told = f"{hit.seen:,} of {hit.documents:,} {what} of its training split seen"
        return f"{told}, the first at step {hit.first_step:,}" if hit.first_step is not None else told
    how = f", as {_HOW[hit.kind]}" if hit.kind in _HOW else ""
    if hit.first_step is not None:
        return f"trained on it{how}, first at step {hit.first_step:,}"
    if hit.split == "train":
        tokenizer = "" if is_finetuned else "; its tokenizer was learned from it"
        return f"in its training split{how}, reached by no step{tokenizer}"
    if hit.split:
        return f"held out for {hit.split}{how}"
    return "set aside before it learned" if is_finetuned else f"in its corpus, set aside before packing{how}"


def _as_in_a_corpus(text: str) -> str:
    """The text as preprocess would keep it."""
    import pyarrow as pa

    from components.preprocess.text import normalise

    return str(normalise(pa.array([text], pa.large_string()))[0])


def _is_file(what: str) -> bool:
    try:
        return Path(what).is_file()
    except OSError:
        return False  # a text too long to be a name
