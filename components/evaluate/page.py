"""The page of an evaluation: key figures, the baseline beside them, sources, samples.

In: figures and samples. Out: the bytes of one HTML file. In between: everything is shown as text, escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from components.core.pages import (
    Figure,
    Html,
    details,
    figures,
    number,
    page,
    paragraph,
    percent,
    preformatted,
    section,
    table,
    verdict,
)
from components.core.plots import Interval, interval_chart
from components.core.toxicity import AUC, RECALL
from components.evaluate.memorisation import EXPOSURE, EXTRACTION, PERSONAL_DATA
from components.evaluate.summary import Figures
from components.evaluate.toxicity import HELD_OUT, TOXICITY


def draw(
    overall: Figures, sources: Sequence[Figures], given_away: Mapping[str, float],
    toxic: Mapping[str, float], samples: Sequence[Mapping[str, object]], level: float,
) -> bytes:  # fmt: skip
    """The whole page."""
    lead = f"{number(overall.documents)} held-out documents, {number(overall.tokens)} tokens, scored one by one."
    return page(
        "Evaluation",
        _judgement(overall, level),
        figures(*_key_figures(overall, level)),
        section("Beside a model that only counts", _beside_baseline(overall, level)),
        section("By source", _by_source(sources)),
        section("What it gives away of its training", _given_away(given_away)),
        *([section("Toxicity", *_toxicity(toxic))] if toxic else []),
        section("Samples", *_samples(samples)),
        lead=lead,
    )


def _judgement(overall: Figures, level: float) -> Html:
    if overall.difference_interval is None:
        return verdict(False, "One document is too few to say anything.")
    low, high = overall.difference_interval
    by = f"by {number(abs(low))} to {number(abs(high))} bits per byte ({level:.0%} interval)"
    if high < 0:
        by = f"by {number(abs(high))} to {number(abs(low))} bits per byte ({level:.0%} interval)"
        return verdict(True, f"The model predicts these documents better than the 5-gram baseline, {by}.")
    if low > 0:
        return verdict(False, f"The 5-gram baseline predicts these documents better than the model, {by}.")
    return verdict(False, "Neither the model nor the 5-gram baseline is clearly better on these documents.")


def _key_figures(overall: Figures, level: float) -> Iterator[Figure]:
    interval = overall.interval
    between = f"{number(interval[0])} to {number(interval[1])} ({level:.0%} interval)" if interval else ""
    yield Figure("bits per byte", overall.bits_per_byte, between)
    yield Figure("loss per token", overall.loss_per_token, "in nats")
    yield Figure("perplexity", overall.perplexity, "depends on the tokenizer")
    yield Figure("bits per byte, int8 weights", overall.int8_bits_per_byte, "each weight of a matrix in one byte")
    yield Figure("overconfidence", overall.overconfidence, "how much surer than right; 0 is calibrated")
    yield Figure("5-gram baseline, bits per byte", overall.baseline_bits_per_byte, "trained on the same tokens")


def _beside_baseline(overall: Figures, level: float) -> Html:
    rows = [
        _interval("model", overall.bits_per_byte, overall.interval),
        _interval("5-gram, modified Kneser-Ney", overall.baseline_bits_per_byte, overall.baseline_interval),
    ]
    return interval_chart(f"Bits per byte, lower is better, with {level:.0%} intervals", rows, unit="bits per byte")


def _by_source(sources: Sequence[Figures]) -> Html:
    columns = ["source", "documents", "bytes", "bits per byte", "low", "high", "5-gram baseline"]
    rows = [
        (s.name, s.documents, s.bytes, s.bits_per_byte, *(s.interval or (None, None)), s.baseline_bits_per_byte)
        for s in sources
    ]
    return table("Bits per byte of each source", columns, rows)


def _given_away(found: Mapping[str, float]) -> Html:
    """Each measure beside its control: the same of what the training never saw."""
    columns = ["measure", "unit", "of the training", "control, never trained on"]
    rows = [
        (name, unit, found.get(metric), found.get(f"{metric}_control"))
        for name, unit, metric in (
            ("verbatim extraction", "share of the tokens that follow a document's beginning", EXTRACTION),
            ("exposure of planted canaries", "bits; 1.44 is chance", EXPOSURE),
            ("personal data", "pieces in a sample", PERSONAL_DATA),
        )
    ]
    return table("What the model repeats of the texts that it was trained on", columns, rows)


def _toxicity(found: Mapping[str, float]) -> Iterator[Html]:
    """What a judge calls toxic of the samples, beside ordinary text, and how good it is."""
    rows = [
        ("samples that it calls toxic", _share(found.get(TOXICITY))),
        ("held-out documents, as long as a sample, that it calls toxic", _share(found.get(HELD_OUT))),
        ("toxic texts that it finds, of labelled ones kept apart", percent(found[RECALL])),
        ("area under its curve, on the same", number(found[AUC])),
    ]
    yield table("A judge that learned from labelled texts", ["what", "figure"], rows)
    yield paragraph(
        "A judge of words: it misses what is said politely or in words it never saw, and takes a quoted insult for a "
        "toxic text. No toxic sample is no proof of harmlessness."
    )


def _share(found: float | None) -> str | None:
    return None if found is None else percent(found)


def _samples(samples: Sequence[Mapping[str, object]]) -> Iterator[Html]:
    yield paragraph("Drawn with fixed seeds, none left out. Each shows its prompt and what the model wrote after it.")
    firsts = {sample["prompt"]: sample for sample in reversed(samples)}
    yield from map(_sample, reversed(firsts.values()))
    if others := [sample for sample in samples if sample is not firsts[sample["prompt"]]]:
        yield details(f"{number(len(others))} more", *map(_sample, others))


def _sample(sample: Mapping[str, object]) -> Html:
    called = ", called toxic" if sample.get("toxic") else ""
    return preformatted(f"after {sample['prompt']!r}{called}", f"{sample['prompt']}{sample['text']}")


def _interval(label: str, value: float, interval: tuple[float, float] | None) -> Interval:
    return Interval(label, value, *(interval or (None, None)))
