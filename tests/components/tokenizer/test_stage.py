"""Learning a vocabulary from a corpus."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from components.core.errors import InputError
from components.tokenizer import TokenizerConfig, tokenizer
from components.tokenizer.codec import FILE, Codec
from tests.components.tokenizer.world import CONFIG, make_rows, make_world, write_corpus

ROOT = Path(__file__).resolve().parents[3]


def learn_into(folder, corpus, **values):
    folder.mkdir()
    return tokenizer(TokenizerConfig(**{**CONFIG, **values}), corpus=corpus, output=folder)


def test_a_vocabulary_is_learned_and_every_document_is_accounted_for(tmp_path):
    report = learn_into(tmp_path / "out", **make_world(tmp_path))
    report.books.check("tokenizer")
    assert (report.books.received, report.books.kept) == (40, 30)
    assert report.books.dropped == {"held out for test": 5, "held out for validation": 5}
    assert report.metrics == {"vocabulary_size": 300}
    assert Codec.load(tmp_path / "out").vocabulary_size == 300


def test_held_out_text_does_not_shape_the_vocabulary(tmp_path):
    rows = make_rows()
    others = [(split, text if split == "train" else "zzzz quite another text zzzz") for split, text in rows]
    for name, corpus in (("a", rows), ("b", others)):
        learn_into(tmp_path / name, write_corpus(tmp_path / f"corpus-{name}", corpus))
    assert (tmp_path / "a" / FILE).read_bytes() == (tmp_path / "b" / FILE).read_bytes()


def test_few_texts_give_a_smaller_vocabulary_and_the_report_says_so(tmp_path):
    report = learn_into(tmp_path / "out", **make_world(tmp_path), vocabulary_size=5000)
    assert 257 < report.metrics["vocabulary_size"] < 5000


def test_a_corpus_without_training_documents_is_refused(tmp_path):
    for name, rows in (("none", []), ("held out", [("test", "text")])):
        corpus = write_corpus(tmp_path / name, rows)
        with pytest.raises(InputError) as caught:
            learn_into(tmp_path / f"out-{name}", corpus)
        assert f"{len(rows)} documents" in caught.value.found


def test_the_number_of_threads_changes_no_byte(tmp_path):
    inputs = make_world(tmp_path)
    code = (
        "import sys; from pathlib import Path; from components.tokenizer import TokenizerConfig, tokenizer\n"
        "corpus, output = map(Path, sys.argv[1:]); output.mkdir()\n"
        "tokenizer(TokenizerConfig(vocabulary_size=320), corpus=corpus, output=output)"
    )
    environments = [{"RAYON_NUM_THREADS": "1"}, {"RAYON_NUM_THREADS": "4"}, {"TOKENIZERS_PARALLELISM": "false"}]
    found = set()
    for number, extra in enumerate(environments):
        output = tmp_path / str(number)
        command = [sys.executable, "-c", code, str(inputs["corpus"]), str(output)]
        subprocess.run(command, cwd=ROOT, env={**os.environ, **extra}, check=True)
        found.add((output / FILE).read_bytes())
    assert len(found) == 1


@pytest.mark.parametrize(
    "values", [{"vocabulary_size": 256}, {"vocabulary_size": "300"}, {"min_frequency": 0}, {"x": 1}]
)
def test_values_out_of_bounds_are_refused(values):
    with pytest.raises(ValidationError):
        TokenizerConfig(**values)
