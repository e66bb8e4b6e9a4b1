"""A version whose record does not tell how it was made: `pedigree rebuild` says where it differs first."""

import json

import pytest

from components.core.files import sha256_file, write_json
from components.core.records import RECORD, artifact_digest

pytestmark = pytest.mark.slow
INPUTS = {"model": "data/train", "tokens": "data/pack", "tokenizer": "data/tokenizer", "evaluation": "data/evaluate"}


def stage(chain, name, *inputs):
    chain.stage(name, *[word for key in inputs for word in (f"--{key}", INPUTS[key])], "--output", f"data/{name}")


def forge(folder, name):
    """Change one byte of an artifact's file and let its record say that it was always so."""
    path, record = folder / name, json.loads((folder / RECORD).read_bytes())
    content = path.read_bytes()
    for file in (path, folder / RECORD):
        file.unlink()  # and not written into, which would change DVC's cache as well
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    record["files"][name]["sha256"] = sha256_file(path)
    write_json(folder / RECORD, record)


def test_a_record_that_lies_and_a_cache_that_was_tampered_with(chain):
    honest = artifact_digest(chain.root / "data/train")
    forge(chain.root / "data/train", "weights.safetensors")
    assert artifact_digest(chain.root / "data/train") != honest
    stage(chain, "evaluate", "model", "tokens", "tokenizer")
    stage(chain, "register", "model", "tokenizer", "evaluation")
    done = chain.pedigree("rebuild", "2", check=False)
    assert done.returncode == 3, done.stdout
    assert "stage train differs first, in file weights.safetensors" in done.stdout
    assert "the processor does not explain it" in done.stdout

    cached = max((chain.root / ".dvc/cache/files/md5").rglob("*"), key=lambda path: path.stat().st_size)
    content = cached.read_bytes()
    mode = cached.stat().st_mode
    cached.chmod(0o644)
    cached.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    cached.chmod(mode)
    done = chain.pedigree("rebuild", "1", check=False)
    print(done.stdout)
    assert done.returncode in (0, 3)
