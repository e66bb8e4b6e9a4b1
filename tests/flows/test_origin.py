"""The commands that say where a version comes from, on a real chain: verify, trace, impact, withdraw, card, rebuild."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from components.core.files import read_json
from components.core.keys import believed_keys, public_pem
from components.provenance.dsse import unseal
from tests.browser import browsing
from tests.worlds import Workspace

pytestmark = pytest.mark.slow


def provenance_of(workspace: Workspace):
    """The folder of the only version's provenance."""
    (found,) = workspace.root.glob(".pedigree/mlflow/artifacts/models/*/artifacts/artifacts/provenance")
    return found


def document_of(workspace: Workspace) -> str:
    """A document that the training saw, with the step that saw it first."""
    lines = workspace.pedigree("trace", "--documents").stdout.splitlines()[1:]
    seen = [line.split("\t") for line in lines if not line.endswith("-")]
    return seen[0]


def test_a_version_is_verified_to_the_raw_bytes_and_a_changed_byte_is_named(chain: Workspace) -> None:
    told = chain.pedigree("verify").stdout
    for stage in ("evaluate", "train", "pack", "tokenizer", "preprocess", "ingest", "raw"):
        assert f"  {stage} " in told
    assert "Verified, back to the raw bytes" in told
    (chain.root / "other.pub.pem").write_bytes(public_pem(Ed25519PrivateKey.generate().public_key()))
    assert "signed by the key" in chain.pedigree("verify", "--key", "other.pub.pem", check=False).stdout
    shard = chain.root / "data/ingest/documents-00000.parquet"
    content = shard.read_bytes()
    shard.chmod(0o644)
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    done = chain.pedigree("verify", check=False)
    assert done.returncode == 4
    assert "data/ingest/documents-00000.parquet" in done.stdout


def test_artifacts_that_are_gone_are_verified_out_of_the_cache(chain: Workspace) -> None:
    shutil.rmtree(chain.root / "data")
    assert "Verified, back to the raw bytes" in chain.pedigree("verify").stdout
    shutil.rmtree(chain.root / ".dvc/cache")
    done = chain.pedigree("verify", check=False)
    assert done.returncode == 4
    assert "not on this machine" in done.stdout


def test_nothing_is_told_of_a_changed_version(chain: Workspace) -> None:
    card = provenance_of(chain) / "model-card.md"
    folder = str(card.parents[1])
    assert chain.pedigree("verify", folder).returncode == 0
    card.write_text(card.read_text().replace("research", "everything"))
    for command in ("verify", "trace", "card"):
        done = chain.pedigree(command, folder, check=False)
        assert done.returncode == 4, command
        assert "model-card.md" in done.stdout, command


def test_trace_impact_and_withdraw_agree(chain: Workspace) -> None:
    document, _, step = document_of(chain)
    told = chain.pedigree("impact", document).stdout
    assert f"trained on it, first at step {int(step):,}" in told
    assert "1 of 1 versions were trained on it" in told
    told = chain.pedigree("impact", "BSD-3-Clause").stdout
    assert "the first at step 0; assistant: " in told
    assert "documents and records of its training split seen, the first at step 0" in told
    assert chain.pedigree("withdraw", document).stdout.count("Nothing was withdrawn") == 1
    assert not (chain.root / "withdrawn.json").exists()
    told = chain.pedigree("withdraw", document, "--yes").stdout
    assert "1 documents of this workspace's corpus" in told
    assert "ingest" in told.partition("Would run again")[2]
    assert read_json(chain.root / "withdrawn.json")["documents"] == [document]
    chain.stage("ingest", "--sources", "sources.lock.json", "--output", "data/ingest")
    shards = [pq.read_table(path) for path in (chain.root / "data/ingest").glob("documents-*.parquet")]
    assert document not in {name for shard in shards for name in shard.column("doc_id").to_pylist()}
    rejects = pq.read_table(chain.root / "data/ingest/rejects.parquet").to_pylist()
    assert [row["text"] for row in rejects if row["doc_id"] == document] == [""]
    assert read_json(chain.root / "data/ingest/report.json")["dropped"]["withdrawn"] == 1


def test_a_withdrawal_outlives_a_refresh_and_a_lost_lock(chain: Workspace) -> None:
    chain.pedigree("withdraw", "networkx", "--yes")
    (chain.root / "sources.lock.json").unlink()
    assert "withdrawn from sources: networkx" in chain.pedigree("refresh", "--yes").stdout
    assert read_json(chain.root / "sources.lock.json")["withdrawn"]["sources"] == ["networkx"]
    (chain.root / "records.lock.json").unlink()
    done = chain.pedigree("plan", check=False)
    assert done.returncode == 4
    assert "records.lock.json\n  found:    no such file" in done.stdout
    assert "pedigree refresh" in done.stdout
    (chain.root / "withdrawn.json").write_text("{")
    done = chain.pedigree("refresh", "--yes", check=False)
    assert done.returncode == 4
    assert "withdrawn.json" in done.stdout


def test_a_version_that_cannot_tell_is_told(chain: Workspace) -> None:
    summaries = chain.root.glob(".pedigree/provenance/index/steps-*/summary.json")
    summary = next(path for path in summaries if "finetuned" in read_json(path))
    summary.write_text(summary.read_text().replace('"seen"', '"seem"'))
    done = chain.pedigree("impact", "networkx", check=False)
    assert done.returncode == 4
    assert "of its training split seen, the first at step 0; cannot tell: sha256" in done.stdout


def test_the_card_is_shown_with_its_page(chain: Workspace) -> None:
    told = chain.pedigree("card").stdout
    assert told.startswith("# Model card: pedigree-debug")
    assert "provenance/page.html" in told


def test_the_page_of_a_version_shows_its_applications_on_every_screen(chain: Workspace, tmp_path) -> None:
    page = provenance_of(chain) / "page.html"
    with browsing(tmp_path / "profile") as browser:
        for width, is_dark in ((1280, False), (390, True)):
            browser.show_as(width, 900, is_dark=is_dark)
            browser.open(page.as_uri())
            assert browser.value("document.documentElement.scrollWidth") <= width
            assert browser.value("document.body.innerText").count("best floor") >= 2
            assert "classify: accuracy" in browser.value("document.body.innerText")
            browser.picture(tmp_path / f"{width}.png")
        assert browser.complaints == []


def test_a_version_is_made_again_and_signed(chain: Workspace) -> None:
    assert "every byte equal" in chain.pedigree("rebuild").stdout
    (path,) = chain.root.glob(".pedigree/provenance/*/reproduced.json")
    statement = json.loads(unseal(path.read_bytes(), believed_keys(chain.root / ".pedigree/keys"), str(path)))
    assert statement["predicateType"] == "urn:pedigree:reproduced:v1"
    assert statement["predicate"]["fromRaw"] is False


def test_what_happened_to_a_document_is_told_with_rule_value_and_limit(chain: Workspace) -> None:
    kept = document_of(chain)[0]
    told = chain.pedigree("why", kept[:12]).stdout
    assert told.startswith(kept)
    for words in ("ingest", "preprocess", "kept for train", "tokens of train"):
        assert words in told
    rejects = pq.read_table(chain.root / "data/preprocess/rejects.parquet").to_pylist()
    dropped = next(row for row in rejects if row["reason"] == "near_duplicate")
    told = chain.pedigree("why", dropped["doc_id"]).stdout
    assert f"dropped, near_duplicate: {dropped['detail']}" in told
    done = chain.pedigree("why", "nobody", check=False)
    assert done.returncode == 4
    assert "Traceback" not in done.stdout
