"""Examples of applications as lessons: only their answers count.

In: encoded examples of two splits. Out: ``Lessons``. In between: a row holds one example, a batch rows of one length
(``components.train.mixture``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from components.model.scoring import answer_losses
from components.model.transformer import Transformer
from components.tokenizer.codec import Codec
from components.train.arrangement import arrange, shelves
from components.train.backends import Batch
from components.train.config import FinetuneConfig
from components.train.examples import Examples, make_rows, with_noise
from components.train.history import VALIDATION
from components.train.mixture import Mixture, Numbers
from components.train.schedule import validation_windows


class Shape(NamedTuple):
    """Of the rows of one length: their tokens, and the most that one of them teaches."""

    width: int
    num_places: int


@dataclass(frozen=True, eq=False)
class ExampleLessons:
    """Examples of applications; what counts are their answers, or what the config says.

    Attributes:
        shapes: of the rows, the shortest first.
        mixture: what the steps see of ``train``.
        shown: the examples of ``validation`` that are measured, for each shape.
        codec: whose tokens they are.
    """

    config: FinetuneConfig
    train: Examples
    validation: Examples
    shapes: Sequence[Shape]
    mixture: Mixture
    shown: Sequence[Numbers]
    codec: Codec

    @property
    def batch_shapes(self) -> Sequence[tuple[int, int]]:
        """One for each length of rows that any step sees."""
        used = {shelf for shelf, _ in map(self.mixture.of_step, range(self.mixture.num_batches))}
        return [(self.mixture.rows[shelf], self.shapes[shelf].width + 1) for shelf in sorted(used)]

    def batch(self, step: int) -> Batch:
        """Examples of one shape."""
        config, (shelf, numbers) = self.config, self.mixture.of_step(step)
        shape, end = self.shapes[shelf], self.codec.end_of_text
        windows, answers = make_rows(self.train, numbers, *shape, end, config.prompt_weight)
        if config.prompt_noise:
            random = np.random.default_rng([config.seed, step])
            windows = with_noise(windows, answers, config.prompt_noise, self.codec.vocabulary_size, random)
        return Batch(windows, answers)

    def measure(self, model: Transformer) -> Mapping[str, float]:
        """The loss of the answers of each application, and the mean of those: a long answer is worth a short one."""
        names = self.config.applications
        totals, sizes = np.zeros(len(names)), np.zeros(len(names))
        for shape, numbers in zip(self.shapes, self.shown, strict=True):
            if len(numbers):
                windows, (places, weights) = make_rows(self.validation, numbers, *shape, self.codec.end_of_text)
                losses = answer_losses(model, windows, places)
                owners, counts = self.validation.applications[numbers], weights > 0
                totals += np.bincount(owners, (losses * counts).sum(axis=1), len(totals))
                sizes += np.bincount(owners, counts.sum(axis=1), len(sizes))
        means = (totals / sizes).tolist()
        return {
            VALIDATION: sum(means) / len(means),
            **{f"{VALIDATION}_{n}": m for n, m in zip(names, means, strict=True)},
        }


def plan_lessons(
    config: FinetuneConfig, train: Examples, validation: Examples, codec: Codec, context_tokens: int
) -> ExampleLessons:
    """Arrange examples in rows and steps."""
    lengths = np.concatenate([train.lengths, validation.lengths])
    answers = np.concatenate([train.num_answer_tokens, validation.num_answer_tokens])
    taught = lengths if config.prompt_weight else answers
    widths, mixture = arrange(config, train, validation, context_tokens)
    longest = [int(taught[shelf].max()) for shelf in shelves(widths, lengths)]
    shown = _chosen(validation.applications, config.validation_examples)
    return ExampleLessons(
        config, train, validation, list(map(Shape, widths.tolist(), longest)), mixture,
        [np.intersect1d(shown, shelf) for shelf in shelves(widths, validation.lengths)], codec,
    )  # fmt: skip


def _chosen(applications: Numbers, num_wanted: int) -> Numbers:
    """So many examples of each application at most, evenly spread."""
    members = (np.flatnonzero(applications == place) for place in np.unique(applications))
    return np.concatenate([found[validation_windows(num_wanted, len(found))] for found in members])
