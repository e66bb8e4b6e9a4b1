"""The model's formulas for writing, one row per token, compiled for the processor at hand.

In: weights in panels, memories of what was read, rows of (token, slot, position). Out: the next token of each row
that asks for one. In between: **what a row computes depends on its own slot alone**, bit for bit. Every sum has one
order, whatever stands beside it, so a text is the same alone and among thirty others, read at once or in pieces.
(Libraries for matrix products choose another order of summation for another number of rows.)

All compiled functions stand in this one file because the compiler's cache looks for changes in no other.

Shape letters:
    R rows   S slots   L layers   D width   H heads   K width of a head   F feed-forward width   C context
    V vocabulary   P panels of 64 columns; a matrix [N, M] is stored as [P, N, 64], both padded with zeros
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

PANEL = 64  # columns of a panel, positions of a block: four registers of 16 numbers
STRIDE = 8  # rows of a panel that are read together
MOST_TOP = 20  # likeliest tokens that are told beside the chosen one

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int32]

# Sums over one row may be grouped, always the same way; a matrix product may not, because it has two loops.
_grouped: Callable[..., Any] = njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz", "arcp", "nnan"})
_ordered: Callable[..., Any] = njit(nogil=True, cache=True, fastmath={"contract"})

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_EPSILON = np.float32(1e-5)
_ROOT_HALF = np.float32(0.5**0.5)


class Weights(NamedTuple):
    """All weights, one array for all layers."""

    token_embedding: Floats  # [V, D]
    position_embedding: Floats  # [C, D]
    attention_gamma: Floats  # [L, D]
    attention_beta: Floats  # [L, D]
    query_key_value: Floats  # [L, P, D, 64]
    attention_output: Floats  # [L, P, D, 64]
    feed_forward_gamma: Floats  # [L, D]
    feed_forward_beta: Floats  # [L, D]
    feed_forward_in: Floats  # [L, P, D, 64]
    feed_forward_in_bias: Floats  # [L, P · 64]
    feed_forward_out: Floats  # [L, P, F, 64]
    feed_forward_out_bias: Floats  # [L, P · 64]
    final_gamma: Floats  # [D]
    final_beta: Floats  # [D]
    output: Floats  # the embedding again, as a matrix from states to logits  # [P, D, 64]


class Memories(NamedTuple):
    """What each slot has read, in blocks of 64 positions: all loops of attention run over a block's positions."""

    keys: Floats  # [S, L, H, C / 64, K, 64]
    values: Floats  # [S, L, H, C / 64, K, 64]
    seen: npt.NDArray[np.bool_]  # which tokens a slot has read or written  # [S, V]


class Choices(NamedTuple):
    """How the next token of each slot is chosen."""

    temperature: Floats  # [S]
    top_k: Numbers  # 0 is all  # [S]
    top_p: Floats  # [S]
    repetition_penalty: Floats  # [S]
    num_top: Numbers  # likeliest tokens to tell  # [S]


class Written(NamedTuple):
    """What was chosen, step by step: −1 where a row was still reading."""

    tokens: Numbers  # [steps, R]
    log_probabilities: Floats  # [steps, R]
    top_tokens: Numbers  # [steps, R, MOST_TOP]
    top_log_probabilities: Floats  # [steps, R, MOST_TOP]


class Scratch(NamedTuple):
    """Room to work in, so that a step allocates nothing."""

    x: Floats  # the residual stream  # [R, D]
    normal: Floats  # [R, D]
    joined: Floats  # [R, 3 D]
    mixed: Floats  # [R, D]
    inner: Floats  # [R, F]
    branch: Floats  # [R, D]
    scores: Floats  # [C], whole blocks
    logits: Floats  # [R, V]
    weights: Floats  # of the tokens among which to choose  # [V]


@_ordered
def _multiply(x, panels, bias, out):  # type: ignore[no-untyped-def]
    """out = x · panels + bias, two rows at a time; each number of ``out`` sums in the order of the rows of a panel."""
    num_rows, depth = x.shape[0], panels.shape[1]
    for p in range(panels.shape[0]):
        base = p * PANEL
        for r in range(num_rows):
            for n in range(PANEL):
                out[r, base + n] = bias[base + n]
        for k in range(0, depth, STRIDE):
            for r in range(0, num_rows - 1, 2):
                a0, a1, a2, a3 = x[r, k], x[r, k + 1], x[r, k + 2], x[r, k + 3]
                a4, a5, a6, a7 = x[r, k + 4], x[r, k + 5], x[r, k + 6], x[r, k + 7]
                b0, b1, b2, b3 = x[r + 1, k], x[r + 1, k + 1], x[r + 1, k + 2], x[r + 1, k + 3]
                b4, b5, b6, b7 = x[r + 1, k + 4], x[r + 1, k + 5], x[r + 1, k + 6], x[r + 1, k + 7]
                for n in range(PANEL):
                    a, b = out[r, base + n], out[r + 1, base + n]
                    a += a0 * panels[p, k, n]
                    b += b0 * panels[p, k, n]
                    a += a1 * panels[p, k + 1, n]
                    b += b1 * panels[p, k + 1, n]
                    a += a2 * panels[p, k + 2, n]
                    b += b2 * panels[p, k + 2, n]
                    a += a3 * panels[p, k + 3, n]
                    b += b3 * panels[p, k + 3, n]
                    a += a4 * panels[p, k + 4, n]
                    b += b4 * panels[p, k + 4, n]
                    a += a5 * panels[p, k + 5, n]
                    b += b5 * panels[p, k + 5, n]
                    a += a6 * panels[p, k + 6, n]
                    b += b6 * panels[p, k + 6, n]
                    a += a7 * panels[p, k + 7, n]
                    b += b7 * panels[p, k + 7, n]
                    out[r, base + n], out[r + 1, base + n] = a, b
            if num_rows % 2:
                r = num_rows - 1
                a0, a1, a2, a3 = x[r, k], x[r, k + 1], x[r, k + 2], x[r, k + 3]
                a4, a5, a6, a7 = x[r, k + 4], x[r, k + 5], x[r, k + 6], x[r, k + 7]
                for n in range(PANEL):
                    a = out[r, base + n]
                    a += a0 * panels[p, k, n]
                    a += a1 * panels[p, k + 1, n]
                    a += a2 * panels[p, k + 2, n]
                    a += a3 * panels[p, k + 3, n]
                    a += a4 * panels[p, k + 4, n]
                    a += a5 * panels[p, k + 5, n]
                    a += a6 * panels[p, k + 6, n]
                    a += a7 * panels[p, k + 7, n]
                    out[r, base + n] = a


@_grouped
def _exponential(x):  # type: ignore[no-untyped-def]
    """e^x for x ≤ 0 within two units of the last place (Moshier, Cephes, expf); written out so that loops vectorise."""
    x = max(x, np.float32(-87))
    power = np.floor(x * np.float32(1.44269504088896341) + _HALF)
    r = x - power * np.float32(0.693359375)
    r = r - power * np.float32(-2.12194440e-4)
    y = np.float32(1.9875691500e-4)
    y = y * r + np.float32(1.3981999507e-3)
    y = y * r + np.float32(8.3334519073e-3)
    y = y * r + np.float32(4.1665795894e-2)
    y = y * r + np.float32(1.6666665459e-1)
    y = y * r + np.float32(5.0000001201e-1)
    return (y * r * r + r + _ONE) * np.int32((np.int32(power) + np.int32(127)) << np.int32(23)).view(np.float32)


@_grouped
def _gelu(x):  # type: ignore[no-untyped-def]
    """x · Φ(x); erf by Abramowitz and Stegun, formula 7.1.26, within 1.5e-7."""
    u = abs(x) * _ROOT_HALF
    t = _ONE / (_ONE + np.float32(0.3275911) * u)
    tail = np.float32(1.061405429)
    tail = tail * t - np.float32(1.453152027)
    tail = tail * t + np.float32(1.421413741)
    tail = tail * t - np.float32(0.284496736)
    tail = tail * t + np.float32(0.254829592)
    half_tail = _HALF * tail * t * _exponential(-u * u)
    return x * (half_tail if x < 0 else _ONE - half_tail)


@_grouped
def _normalise(x, gamma, beta, out):  # type: ignore[no-untyped-def]
    """Layer norm of one row (Ba, Kiros and Hinton 2016, equation 3)."""
    width = gamma.shape[0]
    mean = _ZERO
    for d in range(width):
        mean += x[d]
    mean /= np.float32(width)
    variance = _ZERO
    for d in range(width):
        variance += (x[d] - mean) * (x[d] - mean)
    scale = _ONE / np.sqrt(variance / np.float32(width) + _EPSILON)
    for d in range(width):
        out[d] = (x[d] - mean) * scale * gamma[d] + beta[d]


@_grouped
def _attend(query, keys, values, position, scores, out):  # type: ignore[no-untyped-def]
    """softmax(query · keys / √K) · values over positions 0 to ``position``, one head of one row.

    query [K], keys and values [blocks, K, 64], out [K]. The rest of the last block gets no weight.
    """
    head_width, count = query.shape[0], position + 1
    num_blocks = (count + PANEL - 1) // PANEL
    scale = _ONE / np.sqrt(np.float32(head_width))
    whole = head_width - head_width % 4
    for block in range(num_blocks):
        part, here = scores[block * PANEL : (block + 1) * PANEL], keys[block]
        for t in range(PANEL):
            part[t] = _ZERO
        for k in range(0, whole, 4):
            a, b, c, d = query[k] * scale, query[k + 1] * scale, query[k + 2] * scale, query[k + 3] * scale
            for t in range(PANEL):
                part[t] += a * here[k, t] + b * here[k + 1, t] + c * here[k + 2, t] + d * here[k + 3, t]
        for k in range(whole, head_width):
            for t in range(PANEL):
                part[t] += query[k] * scale * here[k, t]
    most = scores[0]
    for t in range(1, count):
        most = max(most, scores[t])
    total = _ZERO
    for t in range(count):
        scores[t] = _exponential(scores[t] - most)
        total += scores[t]
    for t in range(count, num_blocks * PANEL):
        scores[t] = _ZERO
    for k in range(head_width):
        out[k] = _ZERO
    for block in range(num_blocks):
        for k in range(head_width):
            mean = _ZERO
            for t in range(PANEL):
                mean += scores[block * PANEL + t] * values[block, k, t]
            out[k] += mean
    for k in range(head_width):
        out[k] /= total


@_grouped
def _add(x, branch):  # type: ignore[no-untyped-def]
    for r in range(x.shape[0]):
        for d in range(x.shape[1]):
            x[r, d] += branch[r, d]


@_grouped
def _mix(joined, memories, layer, slots, positions, scores, mixed):  # type: ignore[no-untyped-def]
    """Attention of every row: all keys and values are stored first, so that rows of one slot see each other."""
    num_heads, head_width = memories.keys.shape[2], memories.keys.shape[4]
    width = num_heads * head_width
    for r in range(len(slots)):
        block, place = positions[r] // PANEL, positions[r] % PANEL
        for h in range(num_heads):
            for k in range(head_width):
                at = h * head_width + k
                memories.keys[slots[r], layer, h, block, k, place] = joined[r, width + at]
                memories.values[slots[r], layer, h, block, k, place] = joined[r, 2 * width + at]
    for r in range(len(slots)):
        for h in range(num_heads):
            part = slice(h * head_width, (h + 1) * head_width)
            keys, values = memories.keys[slots[r], layer, h], memories.values[slots[r], layer, h]
            _attend(joined[r, part], keys, values, positions[r], scores, mixed[r, part])


@_grouped
def _read(weights, memories, scratch, tokens, slots, positions):  # type: ignore[no-untyped-def]
    """Take in one token per row; its state is then in ``scratch.normal``."""
    num_rows, width = len(tokens), weights.token_embedding.shape[1]
    x, normal, joined = scratch.x[:num_rows], scratch.normal[:num_rows], scratch.joined[:num_rows]
    mixed, inner, branch = scratch.mixed[:num_rows], scratch.inner[:num_rows], scratch.branch[:num_rows]
    nothing = np.zeros(joined.shape[1], np.float32)
    for r in range(num_rows):
        memories.seen[slots[r], tokens[r]] = True
        for d in range(width):
            x[r, d] = weights.token_embedding[tokens[r], d] + weights.position_embedding[positions[r], d]
    for layer in range(weights.query_key_value.shape[0]):
        for r in range(num_rows):
            _normalise(x[r], weights.attention_gamma[layer], weights.attention_beta[layer], normal[r])
        _multiply(normal, weights.query_key_value[layer], nothing, joined)
        _mix(joined, memories, layer, slots, positions, scratch.scores, mixed)
        _multiply(mixed, weights.attention_output[layer], nothing, branch)
        _add(x, branch)
        for r in range(num_rows):
            _normalise(x[r], weights.feed_forward_gamma[layer], weights.feed_forward_beta[layer], normal[r])
        _multiply(normal, weights.feed_forward_in[layer], weights.feed_forward_in_bias[layer], inner)
        for r in range(num_rows):
            for f in range(inner.shape[1]):
                inner[r, f] = _gelu(inner[r, f])
        _multiply(inner, weights.feed_forward_out[layer], weights.feed_forward_out_bias[layer], branch)
        _add(x, branch)
    for r in range(num_rows):
        _normalise(x[r], weights.final_gamma, weights.final_beta, normal[r])


@_grouped
def _likeliest(logits):  # type: ignore[no-untyped-def]
    """The token with the largest logit, the first of equal ones."""
    most = logits[0]
    for v in range(1, len(logits)):
        most = max(most, logits[v])
    for v in range(len(logits)):
        if logits[v] == most:
            return v
    return 0


@_grouped
def _log_total(logits, most):  # type: ignore[no-untyped-def]
    """log Σ e^logit, given the largest logit."""
    total = _ZERO
    for v in range(len(logits)):
        total += _exponential(logits[v] - most)
    return most + np.log(total)


@_grouped
def _largest(values, count, found):  # type: ignore[no-untyped-def]
    """The places of the ``count`` largest values, largest first; of equal ones, the lower place first."""
    size = 0
    for v in range(len(values)):
        if size == count and values[v] <= values[found[size - 1]]:
            continue
        at = size if size < count else count - 1
        while at > 0 and values[found[at - 1]] < values[v]:
            found[at] = found[at - 1]
            at -= 1
        found[at] = v
        size = min(size + 1, count)


@_grouped
def _penalise(logits, seen, penalty):  # type: ignore[no-untyped-def]
    """Make what was seen less likely (Keskar et al. 2019, section 4.1, as it is for logits of both signs)."""
    for v in range(len(logits)):
        if seen[v]:
            logits[v] = logits[v] / penalty if logits[v] > 0 else logits[v] * penalty


@_grouped
def _keep(weights, amounts, goal):  # type: ignore[no-untyped-def]
    """Set weights (the largest is 1) to 0 but for the fewest of the largest whose amounts reach ``goal``.

    Equal weights stay or go together. The bound is found by halving, which takes some thirty quick passes.
    """
    low, high = _ZERO, np.float32(2)
    while True:
        middle = _HALF * (low + high)
        if middle <= low or middle >= high:
            break
        reached = _ZERO
        for v in range(len(weights)):
            reached += amounts[v] if weights[v] >= middle else _ZERO
        if reached >= goal:
            low = middle
        else:
            high = middle
    low = min(low, _ONE)
    for v in range(len(weights)):
        weights[v] = weights[v] if weights[v] >= low else _ZERO


@_grouped
def _choose(logits, temperature, top_k, top_p, uniform, weights):  # type: ignore[no-untyped-def]
    """One token: the likeliest at temperature 0, else drawn among the ``top_k`` likeliest, of these the fewest
    whose probability reaches ``top_p`` (Holtzman et al. 2020, section 3.1). ``uniform`` is in [0, 1)."""
    best, size = _likeliest(logits), len(logits)
    if temperature == 0 or top_k == 1:
        return best
    for v in range(size):
        weights[v] = _exponential((logits[v] - logits[best]) / temperature)
    if 0 < top_k < size:
        _keep(weights, np.ones(size, np.float32), np.float32(top_k))
    if top_p < 1:
        _keep(weights, weights.copy(), top_p * _sum(weights))
    total = 0.0
    for v in range(size):
        total += weights[v]
    left = uniform * total
    for v in range(size):
        left -= weights[v]
        if left < 0:
            return v
    return best


@_grouped
def _sum(values):  # type: ignore[no-untyped-def]
    total = _ZERO
    for v in range(len(values)):
        total += values[v]
    return total


@_grouped
def _tell(logits, token, num_top, step, row, written):  # type: ignore[no-untyped-def]
    """Note a token and its log-probability as the model has it, before temperature and penalty."""
    log_total = _log_total(logits, logits[_likeliest(logits)])
    written.tokens[step, row] = token
    written.log_probabilities[step, row] = logits[token] - log_total
    if num_top:
        _largest(logits, num_top, written.top_tokens[step, row])
        for i in range(num_top):
            written.top_log_probabilities[step, row, i] = logits[written.top_tokens[step, row, i]] - log_total


@_grouped
def advance(  # type: ignore[no-untyped-def]
    weights, memories, scratch, choices, tokens, slots, positions, ends, uniforms, written
):
    """Read one token per row and choose the next one where ``ends`` says so; with more steps, go on with those.

    Args:
        tokens, slots, positions: of each row; of one slot, positions must follow each other.  # [R]
        ends: whether a row wants its next token.                                              # [R]
        uniforms: a random number in [0, 1) for each choice.                                   # [steps, R]
        written: what is chosen. More than one step wants every row to be an end.              # [steps, R]
    """
    size = weights.token_embedding.shape[0]
    nothing = np.zeros(weights.output.shape[0] * PANEL, np.float32)
    for step in range(uniforms.shape[0]):
        _read(weights, memories, scratch, tokens, slots, positions)
        num_ends = 0
        for r in range(len(tokens)):
            if ends[r]:
                scratch.mixed[num_ends] = scratch.normal[r]
                num_ends += 1
        _multiply(scratch.mixed[:num_ends], weights.output, nothing, scratch.logits)
        i = 0
        for r in range(len(tokens)):
            if not ends[r]:
                written.tokens[step, r] = -1
                continue
            slot, logits = slots[r], scratch.logits[i, :size]
            i += 1
            penalised = logits
            if choices.repetition_penalty[slot] != 1:
                penalised = logits.copy()
                _penalise(penalised, memories.seen[slot], choices.repetition_penalty[slot])
            token = _choose(
                penalised, choices.temperature[slot], choices.top_k[slot], choices.top_p[slot],
                uniforms[step, r], scratch.weights,
            )  # fmt: skip
            _tell(logits, token, choices.num_top[slot], step, r, written)
            tokens[r] = token
            positions[r] += 1
