"""The documents of a version are what their formats ask for, and say what the record says."""

import json
import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from components.ingest.packages import find_licence
from components.provenance.licences import incompatibilities, kind_of, roll_up
from tests.components.provenance.world import make_chain, make_version


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """The workspace and the folder of the provenance of a version of it."""
    base = tmp_path_factory.mktemp("documents")
    root = make_chain(base / "workspace")
    make_version(root, base / "version", Ed25519PrivateKey.generate())
    return root, base / "version/provenance"


def test_the_bill_of_materials_is_cyclonedx(version):
    text = (version[1] / "bom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    kinds = [component["type"] for component in bill["components"]]
    assert kinds == ["data", "machine-learning-model", *["data"] * 3, "library", "library"]
    assert bill["metadata"]["component"]["type"] == "machine-learning-model"
    metrics = bill["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert metrics[0] == {"type": "bits_per_byte", "value": "3.0",
                          "confidenceInterval": {"lowerBound": "2.9", "upperBound": "3.1"}}  # fmt: skip


def test_a_broken_bill_is_found_out(version):
    bill = json.loads((version[1] / "bom.cdx.json").read_text())
    bill["components"][0]["type"] = "nonsense"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is not None


def test_the_corpus_is_read_by_croissant(version, tmp_path):
    import mlcroissant

    root, provenance = version
    folder = shutil.copytree(root / "data/preprocess", tmp_path / "corpus")
    shutil.copyfile(provenance / "croissant.json", folder / "croissant.json")
    dataset = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    assert not dataset.metadata.issues.errors
    rows = list(dataset.records(dataset.metadata.record_sets[0].uuid))
    assert len(rows) == 40
    assert rows[0]["documents-00000/text"] == b"document 0 of letters, which says this and that"


def test_a_shard_that_was_changed_is_refused_by_croissant(version, tmp_path):
    import mlcroissant

    root, provenance = version
    folder = shutil.copytree(root / "data/preprocess", tmp_path / "corpus")
    shutil.copyfile(provenance / "croissant.json", folder / "croissant.json")
    shard = folder / "documents-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    dataset = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    with pytest.raises(Exception, match=r"Download\(documents-00000"):
        list(dataset.records(dataset.metadata.record_sets[0].uuid))


def test_the_data_sheet_rolls_licences_up(version):
    text = (version[1] / "datasheet.md").read_text()
    assert "**copyleft**" in text
    assert "| letters | train | - | CC-BY-4.0 | 18 |" in text
    assert "too_short: 1" in text


def test_the_page_loads_nothing_and_names_every_source(version):
    page = (version[1] / "page.html").read_text()
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert "letters" in page
    assert "GPL-2.0-only" in page


@pytest.mark.parametrize(("expression", "kind"), [
    ("MIT", "permissive"), ("CC0-1.0", "public domain"), ("MIT OR GPL-3.0-only", "permissive"),
    ("MIT AND CC-BY-SA-4.0", "share-alike"), ("(Apache-2.0 OR MIT)", "permissive"),
    ("GPL-2.0-only WITH Classpath-exception-2.0", "copyleft"), ("CC-BY-NC-4.0", "restricted"), ("mine", "unknown"),
    ("MPL-2.0 AND (Apache-2.0 OR MIT)", "copyleft"), ("BSD License AND Apache Software License", "permissive"),
    ("Python Software Foundation License", "permissive"), ("MIT OR", "unknown"), ("", "unknown"),
    ("GNU Lesser General Public License v2 or later (LGPLv2+)", "copyleft"), ("BUSL-1.1", "restricted"),
])  # fmt: skip
def test_a_licence_is_taken_apart(expression, kind):
    assert kind_of(expression) == kind


def test_the_licences_of_the_default_sources_are_known():
    packages = ("numpy", "scipy", "pandas", "scikit-learn", "networkx", "matplotlib")
    assert {kind_of(find_licence(package)) for package in packages} == {"permissive"}


def test_licences_that_exclude_each_other_are_found():
    assert roll_up(["MIT", "CC-BY-4.0", "GPL-2.0-only"]) == "copyleft"
    assert [f.licences for f in incompatibilities(["MIT", "CC-BY-4.0"])] == []
    assert [f.licences for f in incompatibilities(["GPL-2.0-only", "Apache-2.0"])] == [("Apache-2.0", "GPL-2.0-only")]
    assert [f.licences for f in incompatibilities(["GPL-2.0-only OR MIT", "Apache-2.0"])] == []
    assert [f.licences for f in incompatibilities(["CC-BY-SA-4.0", "CC-BY-NC-4.0"])] != []
    assert [f.licences for f in incompatibilities(["nobody knows"])] == [("nobody knows",)]
