"""What a model says to questions, as the application decodes.

In: a model, its tokenizer, questions, what is asked. Out: what it says to each. In between: an over-long prompt is
fitted into the context as in training (``components.core.examples``), leaving room for the longest answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from components.applications import Application
from components.assess.config import AssessConfig
from components.assess.questions import Question, Said
from components.core.errors import InputError
from components.core.examples import Asked, begin
from components.model.answering import Answerer, Catalogue
from components.model.decoding import load_weights
from components.tokenizer.codec import Codec

Tokens = list[int]


class Respondent:
    """A model that is asked."""

    def __init__(self, model: Path, tokenizer: Path) -> None:
        """Raises InputError for a model that does not know all tokens of the tokenizer."""
        config, weights = load_weights(model)
        self.codec, self._context = Codec.load(tokenizer), config.context_tokens
        if self.codec.vocabulary_size > config.vocabulary_size:
            found, expected = f"{self.codec.vocabulary_size} tokens", f"at most {config.vocabulary_size}"
            fix = "assess a model with the tokenizer that it was trained with"
            raise InputError(str(tokenizer), found=found, expected=expected, fix=fix)
        self._answerer = Answerer(config, weights, self.codec.end_of_text)

    def say(
        self, config: AssessConfig, application: Application, asked: Asked, questions: Sequence[Question]
    ) -> list[Said]:
        """What it says to each question."""
        if application.decoding == "choose":
            return self._choose(asked, questions)
        losses = self._losses(questions)
        if application.decoding == "rank":
            return self._rank(application, asked, questions, losses, config.beam_items)
        room = min(application.max_answer_tokens, self._context // 2)
        written = self._answerer.write(self._prompts(questions, [room] * len(questions)), room)
        texts = [self.codec.decode(tokens).strip() for tokens in written]
        return [Said(text=text, loss_nats=loss) for text, loss in zip(texts, losses, strict=True)]

    def _choose(self, asked: Asked, questions: Sequence[Question]) -> list[Said]:
        names = [list(question.choices or asked.choices) for question in questions]
        answers = [self._encode(choices) for choices in names]
        rooms = [max(map(len, choices)) + 1 for choices in answers]
        scores = self._answerer.score(self._prompts(questions, rooms), answers)
        return [
            _chosen(question, choices, found) for question, choices, found in zip(questions, names, scores, strict=True)
        ]

    def _rank(
        self, application: Application, asked: Asked, questions: Sequence[Question], losses: Sequence[float], count: int
    ) -> list[Said]:
        catalogue = Catalogue(self._encode(asked.choices), self.codec.end_of_text)
        prompts = self._prompts(questions, [catalogue.longest] * len(questions))
        requests = [application.request.model_validate(question.request) for question in questions]
        numbers = {choice: number for number, choice in enumerate(asked.choices)}
        ranked = self._answerer.rank(prompts, catalogue, count, application.excluded_of(requests, numbers))
        names = [tuple(asked.choices[number] for number, _ in found) for found in ranked]
        return [Said(ranked=found, loss_nats=loss) for found, loss in zip(names, losses, strict=True)]

    def _losses(self, questions: Sequence[Question]) -> list[float]:
        """−log p of each right answer, ended; of one that is too long for the context, of its first half of it."""
        most = self._context // 2 - 1
        answers = [tokens[:most] for tokens in self._encode([question.answer for question in questions])]
        prompts = self._prompts(questions, [len(answer) + 1 for answer in answers])
        return [-float(found[0]) for found in self._answerer.score(prompts, [[answer] for answer in answers])]

    def _prompts(self, questions: Sequence[Question], rooms: Sequence[int]) -> list[Tokens]:
        encoded = self.codec.encode_all([question.prompt for question in questions])
        return [
            begin(tokens, self.codec.end_of_text, self._context - room).tolist()
            for tokens, room in zip(encoded, rooms, strict=True)
        ]

    def _encode(self, texts: Sequence[str]) -> list[Tokens]:
        return [tokens.tolist() for tokens in self.codec.encode_all(texts)]


def _chosen(question: Question, choices: Sequence[str], scores: np.ndarray) -> Said:
    chances = np.exp(scores - scores.max())
    named = dict(zip(choices, (chances / chances.sum()).tolist(), strict=True))
    loss = -float(scores[choices.index(question.answer)]) if question.answer in choices else None
    return Said(text=choices[int(scores.argmax())], chances=named, loss_nats=loss)
