"""The rule by which a challenger becomes champion.

In: the scores of a challenger and of the champion, the rule of params.yaml, and how often these documents were
looked at before. Out: promote, keep or inconclusive, with every finding that led there.
In between: a challenger must be better in the primary metric (superiority) and must be shown not to be worse in any
guardrail by more than its margin (non-inferiority). All must hold, so a wrong promotion needs one test to err and no
correction for their number is due (Berger 1982, intersection-union). Too few documents are never a pass, and
whatever cannot be compared is not promoted. While an application has no champion, the best of its floors, which were
measured on the same examples, stands in its place (decision 0070).

Looks are paid for: the k-th verdict on one set of documents may err with a chance of ``(1 - level) / (k (k + 1))``,
two-sided, so that all verdicts together err with at most ``1 - level`` however many there are.
Covered: any number of challengers that know nothing of these documents. Not covered: a challenger that was trained or
chosen by the scores of these very documents outside the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from components.core.intervals import Estimate
from components.core.scores import of_floor
from components.registry.comparison import (
    Mask,
    Metric,
    Settings,
    compare,
    detectable,
    documents_needed,
    with_doubt,
)
from components.registry.config import Guardrail, Primary, PromoteConfig

Outcome = Literal["promote", "keep", "inconclusive"]
State = Literal["holds", "broken", "unclear"]
Metrics = Mapping[str, Metric]
# What a model scores that has learned nothing at all and gives every byte the same probability.
_OF_NOTHING = {"bits_per_byte": 8.0}


@dataclass(frozen=True)
class Finding:
    """One test: how much worse the challenger is (negative: better), and what it may be at most.

    ``floor`` names what stood in the place of a champion.
    """

    name: str
    slice: str
    metric: str
    state: State
    bound: float
    challenger: float | None = None
    champion: float | None = None
    estimate: Estimate | None = None
    documents_needed: int | None = None
    reason: str = ""
    floor: str = ""

    @property
    def label(self) -> str:
        """By what people call it."""
        return f"{self.name}, {self.slice}" if self.slice else self.name

    def __str__(self) -> str:
        if self.estimate is None:
            return f"{self.label}: {self.reason}"
        found = self.estimate
        return (
            f"{self.label}: worse by {found.value:+.4g} ({found.low:+.4g} to {found.high:+.4g}), "
            f"bound {self.bound:+.4g}: {self.state}"
        )


@dataclass(frozen=True)
class Verdict:
    """The outcome, the finding on the primary metric, those on the guardrails, and what the look cost.

    ``detectable`` is the difference in the primary metric that these documents show in four of five tries.
    """

    outcome: Outcome
    primary: Finding
    guardrails: tuple[Finding, ...]
    look: int
    level: float
    detectable: float | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them."""
        return (self.primary, *self.guardrails)

    def lines(self) -> list[str]:
        """The verdict in four lines: what, why, guardrails, what these documents can tell."""
        held = sum(finding.state == "holds" for finding in self.guardrails)
        others = [str(finding) for finding in self.guardrails if finding.state != "holds"]
        more = f"; {len(others) - 1} more" if len(others) > 1 else ""
        told = f"; not {others[0]}{more}" if others else ""
        return [
            self.outcome,
            _in_words(self.primary),
            f"{held} of {len(self.guardrails)} guardrails hold{told}",
            self._reach(),
        ]

    def as_json(self) -> dict[str, Any]:
        """Everything, as the ledger keeps it."""
        return {
            "outcome": self.outcome, "look": self.look, "level": self.level, "detectable": self.detectable,
            "findings": [_finding_as_json(finding) for finding in self.findings],
        }  # fmt: skip

    def _reach(self) -> str:
        told = f"look {self.look} at these documents, intervals of {100 * self.level:.4g} %"
        if self.detectable:
            told += f"; a difference of {self.detectable:.2g} is seen in four of five tries"
        needed = max((f.documents_needed or 0 for f in self.findings if f.state == "unclear"), default=0)
        return f"{told}; {needed:,} documents would suffice" if needed else told


def settings_of(config: PromoteConfig, look: int) -> Settings:
    """How intervals are drawn at the ``look``-th look at one set of documents, counted from one."""
    return Settings(1 - (1 - config.level) / (look * (look + 1)), config.num_resamples, config.seed)


def judge(challenger: Metrics, champion: Metrics | None, config: PromoteConfig, look: int = 1) -> Verdict:
    """The verdict on a challenger; without a champion limits count, floors, and that it has learned anything at all.

    The bar of a first model is the score of uniform bytes and not the 5-gram baseline: with nobody to protect, a small
    model is worth more behind the alias than nothing, and the baseline stands beside it in every report. An application
    is answered by the champion of the model while it has none of its own, so there its floors can be the bar.
    """
    settings = settings_of(config, look)
    if champion is None:
        primary = _judge_first(challenger, config, settings)
        guardrails = tuple(_limits(challenger, config, settings))
    else:
        primary = _judge_primary(challenger, champion, config, settings)
        guardrails = (*_guardrails(challenger, champion, config, settings), *_limits(challenger, config, settings))
    rival = champion or primary.floor
    reach = detectable(primary.estimate, settings) if rival and primary.estimate else None
    return Verdict(_outcome(primary, guardrails), primary, guardrails, look, settings.level, reach)


def evaluation_set(metrics: Metrics, config: PromoteConfig) -> str:
    """The identity of the documents that the primary metric was measured on, by which looks are counted."""
    found = metrics.get(config.primary.metric)
    return found.identity if found else ""


def _outcome(primary: Finding, guardrails: tuple[Finding, ...]) -> Outcome:
    states = {primary.state, *(finding.state for finding in guardrails)}
    if "broken" in states:
        return "keep"
    return "inconclusive" if "unclear" in states else "promote"


def _judge_first(challenger: Metrics, config: PromoteConfig, settings: Settings) -> Finding:
    rule = config.primary
    limit = _OF_NOTHING.get(rule.metric)
    found = challenger.get(rule.metric)
    if floors := _floors(challenger, rule):
        floor = min(floors, key=lambda name: _sign(rule.worse) * floors[name].value())
        return replace(_judge_primary(challenger, {rule.metric: floors[floor]}, config, settings), floor=floor)
    if found is None or limit is None:
        known = "is missing" if found is None else f"{found.value():.4f}, against nobody: no floor was measured in it"
        return Finding("primary", "", rule.metric, "unclear" if found is None else "holds", 0.0, reason=known)
    blank = Finding("primary", "", rule.metric, "unclear", limit, found.value(), limit)
    return _decide(blank, found.estimate(settings), settings)


def _floors(challenger: Metrics, rule: Primary) -> Metrics:
    """The floors that were measured in the primary metric, by their names."""
    start = of_floor(rule.metric, "")
    return {name.removeprefix(start): metric for name, metric in challenger.items() if name.startswith(start)}


def _judge_primary(challenger: Metrics, champion: Metrics, config: PromoteConfig, settings: Settings) -> Finding:
    rule = config.primary
    blank = Finding("primary", "", rule.metric, "unclear", 0.0 - rule.margin)
    pair = _pair(challenger, champion, blank, is_paired=True)
    if isinstance(pair, Finding):
        return pair
    return _measure(blank, pair, pair[0].all_rows, _sign(rule.worse), 0.0, settings)


def _guardrails(challenger: Metrics, champion: Metrics, config: PromoteConfig, settings: Settings) -> Iterator[Finding]:
    for rule in config.guardrails:
        if rule.margin is None:
            continue
        blank = Finding(rule.name, "", rule.metric, "unclear", rule.margin)
        pair = _pair(challenger, champion, blank, is_paired=rule.is_paired)
        if isinstance(pair, Finding):
            yield pair
        else:
            yield from _measure_slices(rule, blank, pair, config.min_documents, settings)


def _measure_slices(
    rule: Guardrail, blank: Finding, pair: tuple[Metric, Metric], min_documents: int, settings: Settings
) -> Iterator[Finding]:
    slices = pair[0].slices_by(rule.by, min_documents) if rule.by else {"": pair[0].all_rows}
    if not slices:
        yield replace(blank, reason=f"no document has a {rule.by}")
    for name, rows in slices.items():
        bound = blank.bound * (abs(pair[1].value(rows if rule.is_paired else None)) if rule.is_relative else 1.0)
        relative = blank.bound if rule.is_relative else 0.0
        yield _measure(
            replace(blank, slice=name, bound=bound), pair, rows, _sign(rule.worse), relative, settings,
            is_paired=rule.is_paired, most_of_one=rule.most_of_one,
        )  # fmt: skip


def _measure(
    blank: Finding, pair: tuple[Metric, Metric], rows: Mask, sign: int, relative_margin: float, settings: Settings, *,
    is_paired: bool = True, most_of_one: float | None = None,
) -> Finding:  # fmt: skip
    values = [metric.value(rows if is_paired else None) for metric in pair]
    found = compare(*pair, rows, sign, relative_margin, settings, is_paired=is_paired)
    found = found and with_doubt(found, most_of_one, settings)
    return _decide(replace(blank, challenger=values[0], champion=values[1]), found, settings)


def _limits(challenger: Metrics, config: PromoteConfig, settings: Settings) -> Iterator[Finding]:
    """What no model may be worse than, for every guardrail that says so."""
    for rule in config.guardrails:
        if rule.limit is None:
            continue
        sign = _sign(rule.worse)
        blank = Finding(f"{rule.name}, limit", "", rule.metric, "unclear", sign * rule.limit)
        found = challenger.get(rule.metric)
        yield replace(blank, reason="was not measured") if found is None else _limit(blank, found, rule, sign, settings)


def _limit(blank: Finding, found: Metric, rule: Guardrail, sign: int, settings: Settings) -> Finding:
    value = sign * found.value()
    estimate = Estimate(value, value, value, 0.0, 1) if found.is_property else found.estimate(settings, sign)
    estimate = estimate and with_doubt(estimate, rule.most_of_one, settings)
    return _decide(replace(blank, challenger=found.value()), estimate, settings)


def _pair(
    challenger: Metrics, champion: Metrics, blank: Finding, *, is_paired: bool
) -> tuple[Metric, Metric] | Finding:
    """Both models' rows of a metric, or why they cannot be compared."""
    first, second = challenger.get(blank.metric), champion.get(blank.metric)
    if first is None or second is None:
        who = "the challenger" if first is None else "the champion"
        return replace(blank, reason=f"{blank.metric} was not measured for {who}")
    if is_paired and first.identity != second.identity:
        return replace(blank, reason=f"{blank.metric} of the champion was measured on other documents")
    return first, second


def _decide(blank: Finding, found: Estimate | None, settings: Settings) -> Finding:
    if found is None:
        return replace(blank, reason="one document is too few to tell models apart")
    state: State = "holds" if found.high < blank.bound else "broken" if found.low >= blank.bound else "unclear"
    needed = documents_needed(found, blank.bound, settings) if state == "unclear" else None
    return replace(blank, state=state, estimate=found, documents_needed=needed)


def _sign(worse: str) -> int:
    return 1 if worse == "higher" else -1


def _in_words(primary: Finding) -> str:
    found = primary.estimate
    if found is None or primary.challenger is None:
        return f"{primary.metric}: {primary.reason}"
    against = f" against {primary.champion:.4f}" if primary.champion is not None else ""
    against += f" of the floor, {primary.floor}" if primary.floor else ""
    return (
        f"{primary.metric} {primary.challenger:.4f}{against}, difference {found.value:+.4f} ({found.low:+.4f} to "
        f"{found.high:+.4f}) on {found.num_documents:,} documents, must be below {primary.bound:g}"
    )


def _finding_as_json(finding: Finding) -> dict[str, Any]:
    values = {key: value for key, value in vars(finding).items() if value not in (None, "")}
    if finding.estimate:
        values["estimate"] = finding.estimate._asdict()
    return values
