"""Which files a stage reads because its values name them."""

from pathlib import Path

from components.assess.config import AssessConfig
from components.core.pinned import PinnedFile, pinned_files
from components.evaluate.config import EvaluateConfig
from components.preprocess.config import PreprocessConfig
from components.validate.config import DocumentsConfig

ONE, OTHER = (PinnedFile(path=f"checks/{name}", sha256="0" * 64) for name in ("one.csv", "other.csv"))


def test_pinned_files_are_found_wherever_the_values_name_them() -> None:
    named = [
        AssessConfig(toxic_texts=ONE), EvaluateConfig(toxic_texts=ONE), DocumentsConfig(reference=ONE),
        PreprocessConfig.model_construct(evaluation_sets=(ONE,)),
    ]  # fmt: skip
    assert [list(pinned_files(config, subject=Path("data"))) for config in named] == [[Path(ONE.path)]] * len(named)
    assert list(pinned_files(PreprocessConfig.model_construct(evaluation_sets=(ONE, OTHER)))) == [
        Path(ONE.path),
        Path(OTHER.path),
    ]
    assert not list(pinned_files(EvaluateConfig()))
