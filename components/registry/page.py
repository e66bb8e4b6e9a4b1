"""The page of a verdict: what was decided and why, every interval beside its bound, slice by slice.

In: a verdict, the rule and what was measured of the challenger. Out: the bytes of one HTML file. In between:
differences are "how much worse the challenger is", so left of zero is better, and a guardrail holds where its whole
interval lies left of its bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from components.core.pages import Figure, Html, figures, page, paragraph, section, table, verdict
from components.core.plots import Interval, interval_chart
from components.registry.comparison import Settings
from components.registry.config import PromoteConfig
from components.registry.gate import Finding, Metrics, Verdict, settings_of
from components.registry.speed import Speed

_TOLD = {
    "promote": "The challenger becomes champion: it is better, and no guardrail speaks against it.",
    "keep": "Nothing changes: the challenger is not better by the margin, or it is worse where it must not be.",
    "inconclusive": "Nothing changes: these documents cannot tell. That is never a pass.",
}


def draw(
    found: Verdict, config: PromoteConfig, champion: str, challenger: str, *, metrics: Metrics, speed: Speed | None
) -> bytes:
    """The whole page."""
    floor = f"a floor, {found.primary.floor}" if found.primary.floor else "nobody"
    lead = f"Challenger {challenger[:16]} against {f'champion {champion[:16]}' if champion else floor}."
    lines = [paragraph(line) for line in found.lines()[1:]]
    return page(
        "Promotion",
        verdict(found.outcome == "promote", f"{found.outcome}. {_TOLD[found.outcome]}"),
        *lines,
        figures(*_key_figures(found)),
        *_charts(found),
        *([_one_byte(metrics, speed, settings_of(config, found.look))] if speed else []),
        section("Every test", _every_test(found)),
        section("The rule, written before the training", *_rule(config, found)),
        lead=lead,
    )


def _key_figures(found: Verdict) -> Iterator[Figure]:
    primary = found.primary
    if primary.challenger is not None:
        yield Figure(f"{primary.metric}, challenger", primary.challenger)
    if primary.champion is not None:
        yield Figure(f"{primary.metric}, {primary.floor or 'champion'}", primary.champion)
    if found.detectable:
        yield Figure("smallest difference these documents show", found.detectable, "in four of five tries")
    yield Figure("look at these documents", found.look, f"intervals of {100 * found.level:.4g} %")


def _charts(found: Verdict) -> Iterator[Html]:
    """One chart per metric that was compared by intervals."""
    compared = [f for f in found.findings if f.estimate and f.estimate.error > 0 and not f.name.endswith(", limit")]
    for metric, group in groupby(sorted(compared, key=lambda f: f.metric), key=lambda f: f.metric):
        # Three digits, so that words and numbers of a row stand side by side on a phone.
        rows = [Interval(f"{f.label} < {f.bound:+.3g}", *(float(f"{end:.3g}") for end in f.estimate[:3]))
                for f in group if f.estimate]  # fmt: skip
        title = f"{metric}: how much worse the challenger is (left of zero is better)"
        yield section(metric, interval_chart(title, rows, unit=metric))


def _one_byte(metrics: Metrics, speed: Speed, settings: Settings) -> Html:
    """What the challenger gains and loses where it is loaded with weights of one byte."""

    def value(name: str) -> float | None:
        return metrics[name].value() if name in metrics else None

    bits, cost, rates = value("bits_per_byte"), value("int8_cost"), speed.tokens_per_second
    rows = [
        ("float32", value("weight_bytes"), bits, rates["float32"]),
        ("int8", value("int8_bytes"), None if bits is None or cost is None else bits + cost, rates["int8"]),
    ]
    told = f"With int8 a token takes {speed.metric.in_words(settings)} of the time"
    if cost is not None:
        told += f", and a byte costs {metrics['int8_cost'].in_words(settings)} bits more"
    return section(
        "Weights of one byte each: before and after",
        table("The challenger with either kind of weights", ["weights", "bytes", "bits per byte", "tokens/s"], rows),
        paragraph(
            f"{told}. The time was measured for this verdict and on this machine: one text on one thread, "
            f"{len(speed.int8_seconds)} pairs of turns of {speed.num_tokens} tokens, in seconds of the processor."
        ),
    )


def _every_test(found: Verdict) -> Html:
    rival = "floor" if found.primary.floor else "champion"
    columns = ["test", "metric", "challenger", rival, "worse by", "low", "high", "bound", "state", "would suffice"]
    return table("Every test of the verdict", columns, map(_row, found.findings))


def _row(f: Finding) -> tuple[object, ...]:
    ends = f.estimate[:3] if f.estimate else (None, None, None)
    return (f.label, f.metric, f.challenger, f.champion, *ends, f.bound, f.reason or f.state, f.documents_needed)


def _rule(config: PromoteConfig, found: Verdict) -> Iterator[Html]:
    yield paragraph(
        f"Promoted is who is better in {config.primary.metric} by more than {config.primary.margin:g} and is shown not "
        f"to be worse in any guardrail by its margin, at level {config.level:g} over all looks at the same documents."
    )
    yield paragraph(
        f"This was look {found.look}: its intervals have level {found.level:.6g}, because every verdict on the same "
        "documents is one more chance to be lucky. Whole documents are drawn, the same ones for both models."
    )
