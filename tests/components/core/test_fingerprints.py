"""A fingerprint moves with everything that can change a result and with nothing else."""

from pathlib import Path

import pytest

from components.core import fingerprints
from components.core.fingerprints import Sources, write_fingerprints

MODULES = {
    "components/__init__.py": "",
    "components/core/__init__.py": "",
    "components/core/child.py": "import json",
    "components/room/__init__.py": '"""A room."""\nfrom components.room.stage import work\n',
    "components/room/stage.py": (
        "from . import craft\n\ndef work():\n    '''Work.'''\n    import numpy\n    return craft.one()\n"
    ),
    "components/room/craft.py": (
        "from components.shared.helper import value\n\ndef one(size=1):\n    return value() + size\n"
    ),
    "components/room/page.html": "<p>",
    "components/shared/__init__.py": "",
    "components/shared/helper.py": "from .deep import constant\n\ndef value():\n    # a comment\n    return constant\n",
    "components/shared/deep.py": "constant = 1\n",
    "components/shared/unused.py": "import pandas\n",
    "components/other/__init__.py": "import components.shared.unused\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in MODULES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def digest(root: Path) -> str:
    return Sources(root).fingerprint("room").digest


def test_the_closure_holds_every_module_that_is_imported_and_no_other(root: Path) -> None:
    found = Sources(root).fingerprint("room")
    assert "components.shared.deep" in found.modules
    assert "components.shared.unused" not in found.modules
    assert "components.other" not in found.modules
    assert "components/room/page.html" in found.resources
    assert "numpy" in found.libraries
    assert "pandas" not in found.libraries


def test_of_a_package_on_the_way_only_what_runs_at_once_counts(root: Path) -> None:
    library = root / "components" / "library"
    library.mkdir()
    (library / "__init__.py").write_text("from components.library.stage import work\n")
    (library / "stage.py").write_text("def work():\n    import components.library.learning\n")
    (library / "learning.py").write_text("import pandas\n")
    (library / "codec.py").write_text("x = 1\n")
    (root / "components" / "room" / "craft.py").write_text("import components.library.codec\n")
    found = Sources(root).fingerprint("room").modules
    assert {"components.library", "components.library.stage", "components.library.codec"} <= set(found)
    assert "components.library.learning" not in found
    assert "components.library.learning" in Sources(root).fingerprint("library").modules


CHANGES = {
    "a helper three imports away": ("components/shared/deep.py", "constant = 2\n", True),
    "a default": ("components/room/craft.py", MODULES["components/room/craft.py"].replace("size=1", "size=2"), True),
    "a template": ("components/room/page.html", "<b>", True),
    "the runner": ("components/core/child.py", "import json, os", True),
    "a comment": (
        "components/shared/helper.py",
        MODULES["components/shared/helper.py"].replace("a comment", "!"),
        False,
    ),
    "a docstring": (
        "components/room/stage.py",
        MODULES["components/room/stage.py"].replace("'Work.'", "'Toil.'"),
        False,
    ),
    "the module's docstring": ("components/room/__init__.py", "from components.room.stage import work\n", False),
    "formatting": ("components/shared/deep.py", "constant   =   (\n  1\n)\n", False),
    "another room": ("components/other/__init__.py", "x = 3\n", False),
    "an unused helper": ("components/shared/unused.py", "x = 3\n", False),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_fingerprint_moves_exactly_when_it_should(root: Path, name: str) -> None:
    before = digest(root)
    path, text, moves = CHANGES[name]
    (root / path).write_text(text)
    assert (digest(root) != before) is moves


def test_a_library_and_what_it_requires_count_with_their_versions(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(root)
    monkeypatch.setattr(fingerprints, "_installed", lambda name: ("99", ()) if name == "numpy" else None)
    assert digest(root) != before
    versions = {"numpy": ("1", ("below",)), "below": ("1", ())}
    monkeypatch.setattr(fingerprints, "_installed", versions.get)
    shallow = digest(root)
    versions["below"] = ("2", ())
    assert digest(root) != shallow


def test_files_are_rewritten_only_when_they_change(root: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert write_fingerprints(output, {"room": "room"}, root) == ["room"]
    written = (output / "room.json").stat().st_mtime_ns
    assert write_fingerprints(output, {"room": "room"}, root) == []
    assert (output / "room.json").stat().st_mtime_ns == written


def test_the_import_name_is_found_whatever_the_distribution_is_called() -> None:
    assert fingerprints._distribution_of("ruamel.yaml") == "ruamel-yaml"
    assert fingerprints._distribution_of("sklearn") == "scikit-learn"
    assert fingerprints._distribution_of("great_expectations") == "great-expectations"


def test_a_package_that_finds_its_modules_itself_has_all_of_them_and_a_new_one_moves_it(root: Path) -> None:
    from components.applications import APPLICATIONS

    (root / "components/room/craft.py").write_text("from components.plugins import ALL\n\ndef one():\n    return ALL\n")
    (root / "components/plugins").mkdir()
    (root / "components/plugins/__init__.py").write_text("ALL = modules_of(__name__)\n")
    (root / "components/plugins/first.py").write_text("import pandas\n")
    before = Sources(root).fingerprint("room")
    assert "components.plugins.first" in before.modules
    assert "pandas" in before.libraries
    (root / "components/plugins/second.py").write_text("")
    assert "components.plugins.second" in Sources(root).fingerprint("room").modules
    seen = Sources(Path(__file__).resolve().parents[3]).fingerprint("prepare").modules
    assert {f"components.applications.{name}" for name in APPLICATIONS} <= set(seen)
