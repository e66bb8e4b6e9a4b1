"""The model's formulas for writing, one row per token, compiled for the processor at hand.

In: weights in panels, memories of what was read, rows of (token, slot, position). Out: the next token of each row
that asks for one. In between: **what a row computes depends on its own slot alone**, bit for bit. Every sum has one
order, whatever stands beside it, so a text is the same alone and among thirty others, read at once or in pieces.
(Libraries for matrix products choose another order of summation for another number of rows.)

All compiled functions stand in this one file because the compiler's cache looks for changes in no other.

Shape letters:
    R rows   S slots   L layers   D width   H heads   K width of a head   F feed-forward width   C context
    G heads of keys and values   J = (H + 2G) K queries, keys and values side by side   I = F, or 2F where it is gated
    V vocabulary   P panels of 64 columns; a matrix [N, M] is stored as [P, N, 64], padded with zeros
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from components.core.compiling import compiled

PANEL = 64  # columns of a panel, positions of a block: four registers of 16 numbers
LANES = 16  # numbers of a vector
MOST_TOP = 20  # likeliest tokens that are told beside the chosen one

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int32]

# Sums over one row may be grouped, always the same way; a matrix product may not, because it has two loops.
# (A division that may raise an error would keep its loop from becoming one over vectors; NumPy's does not.)
# Only ``advance`` is called from Python: entrances for the others would take most of the time of compiling.
_FREE = {"contract", "reassoc", "nsz", "arcp", "nnan"}
_inner: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_entrance: Callable[..., Any] = compiled(fastmath=_FREE)
_grouped: Callable[..., Any] = compiled(**_inner, fastmath=_FREE)
_ordered: Callable[..., Any] = compiled(**_inner, fastmath={"contract"})

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_SIGN_PLACE, _ALL_BUT_SIGN = np.int32(31), np.int32(0x7FFFFFFF)
_NEVER = np.float32(-1e30)
_EPSILON = np.float32(1e-5)
_ROOT_HALF = np.float32(0.5**0.5)


class Matrix(NamedTuple):
    """Numbers times scales: weights of one byte with a scale for each column; float32 with scales of 1."""

    numbers: npt.NDArray[Any]  # [(L,) P, N, 64], float32 or int8
    scales: Floats  # [(L,) P · 64]


class Weights(NamedTuple):
    """All weights, one array for all layers; what a model does not have is empty or zero."""

    token_embedding: Matrix  # numbers [V, D], scales of its rows [V]
    position_embedding: Floats  # [C, D]; rotary [0, D]
    cosines: Floats  # of the angle by which a pair of a head turns at each position  # rotary [C, K / 2], else [0, 0]
    sines: Floats  # the same
    attention_gamma: Floats  # [L, D]
    attention_beta: Floats  # [L, D]
    query_key_value: Matrix  # [L, P, D, 64]
    attention_output: Matrix  # [L, P, D, 64]
    feed_forward_gamma: Floats  # [L, D]
    feed_forward_beta: Floats  # [L, D]
    feed_forward_in: Matrix  # [L, P, D, 64]
    feed_forward_in_bias: Floats  # [L, P · 64]
    feed_forward_out: Matrix  # [L, P, F, 64]
    feed_forward_out_bias: Floats  # [L, P · 64]
    final_gamma: Floats  # [D]
    final_beta: Floats  # [D]
    output: Matrix  # from states to logits  # [P, D, 64]
    is_centred: bool  # whether a norm takes away the mean: layer norm, not RMS norm
    is_gated: bool  # SwiGLU, not GELU


class Memories(NamedTuple):
    """What each slot has read, in blocks of 64 positions."""

    keys: Floats  # [S, L, G, C / 64, K, 64]
    values: Floats  # [S, L, G, C / 64, 64, K in whole vectors]
    seen: npt.NDArray[np.bool_]  # which tokens a slot has read or written  # [S, V]


class Choices(NamedTuple):
    """How the next token of each slot is chosen."""

    temperature: Floats  # [S]
    top_k: Numbers  # 0 is all  # [S]
    top_p: Floats  # [S]
    repetition_penalty: Floats  # [S]
    num_top: Numbers  # likeliest tokens to tell  # [S]


class Rows(NamedTuple):
    """What goes through the model together, one token of some slot each."""

    tokens: Numbers  # [R]
    slots: Numbers  # [R]
    positions: Numbers  # of one slot they follow each other  # [R]
    ends: npt.NDArray[np.bool_]  # whether a row wants its next token  # [R]
    given: Numbers  # the next token where it is given and only its probability is wanted, else −1  # [R]


class Written(NamedTuple):
    """What was chosen, step by step: −1 where a row was still reading."""

    tokens: Numbers  # [steps, R]
    log_probabilities: Floats  # [steps, R]
    top_tokens: Numbers  # [steps, R, MOST_TOP]
    top_log_probabilities: Floats  # [steps, R, MOST_TOP]


class Scratch(NamedTuple):
    """Room to work in, so that a step allocates nothing; rows are whole panels wide."""

    x: Floats  # the residual stream  # [R, D]
    normal: Floats  # [R, D]
    joined: Floats  # [R, J]
    mixed: Floats  # [R, D]
    inner: Floats  # [R, I]
    scores: Floats  # [C], whole blocks
    mean: Floats  # [K], whole vectors
    logits: Floats  # [R, V]
    weights: Floats  # of the tokens among which to choose  # [V]


_CHAINS = 8  # sums side by side hide how long one multiplication and addition takes
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_INDEX, _INT = ir.IntType(64), ir.IntType(32)
# A tile's sums stay in registers: AVX-512 has 32 of 16 numbers, room for 6 rows by 4; others 16 of 8, for 6 by 1.
_VECTORS = 4 if binding.get_host_cpu_features().get("avx512f") else 1


def _tile(num_rows: int) -> Any:
    """``num_rows`` rows by ``_VECTORS`` vectors of out += x · panel · scales, as the processor's own instructions.

    The compiler does not keep sums of a loop in registers by itself; with them there, a product of sixteen rows runs at
    two and a half times OpenBLAS. Each sum is one chain of fused multiplications and additions in the order of k, so
    a row's numbers are the same in a tile of one row and of six.
    """

    @intrinsic
    def tile(_typing, x, x_at, x_width, panels, panel_at, depth, scales, column, out, out_at, out_width):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            x, x_at, x_width, panels, panel_at, depth, scales, column, out, out_at, out_width = (
                context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
                for kind, value in zip(signature.args, arguments, strict=True)
            )
            rows = [builder.gep(x, [_sum_of(builder, x_at, x_width, i)]) for i in range(num_rows)]
            panel = builder.gep(panels, [panel_at])

            def add(k: Any, sums: list[Any]) -> list[Any]:
                at = builder.gep(panel, [builder.mul(k, _INDEX(PANEL))])
                columns = [_load(builder, builder.gep(at, [_INDEX(n * LANES)])) for n in range(_VECTORS)]
                factors = [_spread(builder, builder.gep(row, [k])) for row in rows]
                pairs = [(factor, column) for factor in factors for column in columns]
                return [_multiply_add(builder, *pair, total) for pair, total in zip(pairs, sums, strict=True)]

            sums = _loop(builder, depth, 1, num_rows * _VECTORS, add)
            for n in range(_VECTORS):
                scale = _load(builder, builder.gep(scales, [builder.add(column, _INDEX(n * LANES))]))
                for i, total in enumerate(sums[n::_VECTORS]):
                    place = builder.gep(out, [builder.add(_sum_of(builder, out_at, out_width, i), _INDEX(n * LANES))])
                    _store(builder, _multiply_add(builder, total, scale, _load(builder, place)), place)
            return context.get_dummy_value()

        index = types.intp
        return types.void(x, index, index, panels, index, index, scales, index, out, index, index), generate

    return tile


def _loop(
    builder: ir.IRBuilder, end: Any, step: int, num_sums: int, add: Callable[[Any, list[Any]], list[Any]]
) -> list[Any]:
    """Sums that live in registers: from 0, longer by ``add(k, sums)`` for k = 0, step, … below ``end``."""
    before, loop, after = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    k, sums = builder.phi(_INDEX), [builder.phi(_VECTOR) for _ in range(num_sums)]
    longer, following = add(k, sums), builder.add(k, _INDEX(step))
    starts = [_INDEX(0), *[_VECTOR([0.0] * LANES)] * num_sums]
    for phi, start, then in zip([k, *sums], starts, [following, *longer], strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(then, loop)
    builder.cbranch(builder.icmp_signed("<", following, end), loop, after)
    builder.position_at_end(after)
    return longer


@intrinsic
def _weigh(_typing, weights, values, at, width, count, out, out_at):  # type: ignore[no-untyped-def]
    """Sixteen numbers of out = Σ_t weights[t] · values[at + t · width …] for t below ``count``, whole ``_CHAINS``."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        weights, values, at, width, count, out, out_at = (
            context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, arguments, strict=True)
        )

        def add(t: Any, sums: list[Any]) -> list[Any]:
            longer = []
            for chain, total in enumerate(sums):
                place = builder.add(t, _INDEX(chain))
                row = _load(builder, builder.gep(values, [_sum_of(builder, at, width, place)]))
                longer.append(_multiply_add(builder, _spread(builder, builder.gep(weights, [place])), row, total))
            return longer

        first, *others = _loop(builder, count, _CHAINS, _CHAINS, add)
        for other in others:
            first = builder.fadd(first, other)
        _store(builder, first, builder.gep(out, [out_at]))
        return context.get_dummy_value()

    index = types.intp
    return types.void(weights, values, index, index, index, out, index), generate


def _sum_of(builder: ir.IRBuilder, at: Any, width: Any, row: Any) -> Any:
    return builder.add(at, builder.mul(width, _INDEX(row) if isinstance(row, int) else row))


def _load(builder: ir.IRBuilder, place: Any) -> Any:
    """Sixteen neighbouring numbers; those of one byte become float32."""
    if place.type.pointee == ir.FloatType():
        return builder.load(builder.bitcast(place, _VECTOR.as_pointer()), align=4)
    narrow, wide = (ir.VectorType(ir.IntType(bits), LANES) for bits in (8, 32))
    found = builder.load(builder.bitcast(place, narrow.as_pointer()), align=1)
    return builder.sitofp(builder.sext(found, wide), _VECTOR)


def _store(builder: ir.IRBuilder, value: Any, place: Any) -> None:
    builder.store(value, builder.bitcast(place, _VECTOR.as_pointer()), align=4)


def _spread(builder: ir.IRBuilder, place: Any) -> Any:
    """The number at a place in every lane."""
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    one = builder.insert_element(nothing, builder.load(place), _INT(0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(_INT, LANES), [0] * LANES))


def _multiply_add(builder: ir.IRBuilder, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return builder.call(builder.module.declare_intrinsic(f"llvm.fma.v{LANES}f32", (), kind), [a, b, c])


_tile_1, _tile_2, _tile_4, _tile_6 = _tile(1), _tile(2), _tile(4), _tile(6)


@_ordered
def _add_product(x, panels, scales, out):  # type: ignore[no-untyped-def]
    """out += x · panels · scales, panel by panel, so that each is read from memory once for all rows.

    x [R, at least N], panels [P, N, 64], scales [P · 64], out [R, P · 64].
    """
    num_rows, depth, x_width, width = x.shape[0], panels.shape[1], x.shape[1], out.shape[1]
    for column in range(0, width, LANES * _VECTORS):
        panel = (column // PANEL * depth) * PANEL + column % PANEL
        r = 0
        while r + 6 <= num_rows:
            _tile_6(x, r * x_width, x_width, panels, panel, depth, scales, column, out, r * width + column, width)
            r += 6
        if r + 4 <= num_rows:
            _tile_4(x, r * x_width, x_width, panels, panel, depth, scales, column, out, r * width + column, width)
            r += 4
        if r + 2 <= num_rows:
            _tile_2(x, r * x_width, x_width, panels, panel, depth, scales, column, out, r * width + column, width)
            r += 2
        if r < num_rows:
            _tile_1(x, r * x_width, x_width, panels, panel, depth, scales, column, out, r * width + column, width)


@_ordered
def _add_layer(x, matrices, layer, out):  # type: ignore[no-untyped-def]
    _add_product(x, matrices.numbers[layer], matrices.scales[layer], out)


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
def _swish(x):  # type: ignore[no-untyped-def]
    """x · σ(x), by e^x of a number that is not positive, so that nothing overflows."""
    small = _exponential(-abs(x))
    return x * (_ONE if x > 0 else small) / (_ONE + small)


@_grouped
def _activate(inner, is_gated, depth):  # type: ignore[no-untyped-def]
    """The inner numbers of one row, in place: GELU, or the gate times what stands behind it (Shazeer 2020)."""
    part = inner[:depth]
    if is_gated:
        for f in range(depth):
            part[f] = _swish(part[f]) * inner[depth + f]
    else:
        for f in range(depth):
            part[f] = _gelu(part[f])


@_grouped
def _normalise(x, gamma, beta, is_centred, out):  # type: ignore[no-untyped-def]
    """Layer norm of one row (Ba, Kiros and Hinton 2016, equation 3), or without a mean RMS norm (Zhang and Sennrich
    2019, equation 4)."""
    width = gamma.shape[0]
    mean = _ZERO
    if is_centred:
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
def _turn(heads, cosines, sines):  # type: ignore[no-untyped-def]
    """Each pair (x_k, x_{k + K/2}) of some heads side by side turned by its angle (Su et al. 2021, equation 34)."""
    half = len(cosines)
    for start in range(0, len(heads), 2 * half):
        for k in range(half):
            first, second = heads[start + k], heads[start + half + k]
            heads[start + k] = first * cosines[k] - second * sines[k]
            heads[start + half + k] = second * cosines[k] + first * sines[k]


@_grouped
def _fill(values, value):  # type: ignore[no-untyped-def]
    for i in range(len(values)):
        values[i] = value


@_grouped
def _add(x, branch):  # type: ignore[no-untyped-def]
    for i in range(len(branch)):
        x[i] += branch[i]


@_grouped
def _order(bits):  # type: ignore[no-untyped-def]
    """The bits of a float32 as a whole number of the same order, and back again."""
    return np.int32(bits ^ np.int32(np.int32(bits >> _SIGN_PLACE) & _ALL_BUT_SIGN))


@_grouped
def _highest(values):  # type: ignore[no-untyped-def]
    """The largest of the values by its ``_order``: of whole numbers the compiler finds it sixteen at a time."""
    bits, most = values.view(np.int32), np.int32(-(2**31))
    for v in range(len(bits)):
        most = max(most, _order(bits[v]))
    return most


@_grouped
def _attend(query, keys, values, position, scores, mean, out):  # type: ignore[no-untyped-def]
    """softmax(query · keys / √K) · values over positions 0 to ``position``, one head of one row.

    query [K], keys [blocks, K, 64], values [blocks, 64, K], out [K]. The rest of the last block gets no weight.
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
    whole_blocks = scores[: num_blocks * PANEL]
    _fill(whole_blocks[count:], _NEVER)
    most = np.int32(_order(_highest(whole_blocks))).view(np.float32)
    for t in range(len(whole_blocks)):
        whole_blocks[t] = _exponential(whole_blocks[t] - most)
    _fill(whole_blocks[count:], _ZERO)
    total = _sum(whole_blocks)
    width, whole_chains = values.shape[2], (count + _CHAINS - 1) // _CHAINS * _CHAINS
    for k in range(0, width, LANES):
        _weigh(scores, values, k, width, whole_chains, mean, k)  # type: ignore[call-arg]
    for k in range(head_width):
        out[k] = mean[k] / total


@_grouped
def _remember(joined, memories, layer, rows):  # type: ignore[no-untyped-def]
    """Keys and values of all rows are stored before any row looks, so that rows of one slot see each other."""
    num_heads, head_width = memories.keys.shape[2], memories.keys.shape[4]
    all_keys = num_heads * head_width
    first_key = joined.shape[1] - 2 * all_keys
    for r in range(len(rows.slots)):
        block, place = rows.positions[r] // PANEL, rows.positions[r] % PANEL
        keys, values = memories.keys[rows.slots[r], layer], memories.values[rows.slots[r], layer]
        for h in range(num_heads):
            for k in range(head_width):
                at = first_key + h * head_width + k
                keys[h, block, k, place] = joined[r, at]
                values[h, block, place, k] = joined[r, all_keys + at]


@_grouped
def _mix(joined, memories, layer, rows, scores, mean, mixed):  # type: ignore[no-untyped-def]
    """Attention of every row; neighbouring heads of queries share keys and values (Ainslie et al. 2023)."""
    num_shared, head_width = memories.keys.shape[2], memories.keys.shape[4]
    num_heads = joined.shape[1] // head_width - 2 * num_shared
    for r in range(len(rows.slots)):
        for h in range(num_heads):
            part, shared = slice(h * head_width, (h + 1) * head_width), h * num_shared // num_heads
            keys, values = memories.keys[rows.slots[r], layer, shared], memories.values[rows.slots[r], layer, shared]
            _attend(joined[r, part], keys, values, rows.positions[r], scores, mean, mixed[r, part])


@_grouped
def _read(weights, memories, scratch, rows):  # type: ignore[no-untyped-def]
    """Take in one token per row; its state is then in ``scratch.normal``."""
    num_rows, width = len(rows.tokens), weights.token_embedding.numbers.shape[1]
    x, normal = scratch.x[:num_rows], scratch.normal[:num_rows]
    for r in range(num_rows):
        memories.seen[rows.slots[r], rows.tokens[r]] = True
        embedding, scale = (
            weights.token_embedding.numbers[rows.tokens[r]],
            weights.token_embedding.scales[rows.tokens[r]],
        )
        for d in range(width):
            x[r, d] = embedding[d] * scale
        if len(weights.position_embedding):
            _add(x[r], weights.position_embedding[rows.positions[r]])
    for layer in range(weights.attention_gamma.shape[0]):
        _add_attention(weights, memories, scratch, rows, layer, x)
        _add_feed_forward(weights, scratch, layer, x)
    for r in range(num_rows):
        _normalise(x[r], weights.final_gamma, weights.final_beta, weights.is_centred, normal[r])


@_grouped
def _add_attention(weights, memories, scratch, rows, layer, x):  # type: ignore[no-untyped-def]
    num_rows, head_width = x.shape[0], memories.keys.shape[4]
    normal, joined, mixed = scratch.normal[:num_rows], scratch.joined[:num_rows], scratch.mixed[:num_rows]
    size = weights.token_embedding.numbers.shape[1] + 2 * memories.keys.shape[2] * head_width
    for r in range(num_rows):
        _fill(joined[r], _ZERO)
        _normalise(x[r], weights.attention_gamma[layer], weights.attention_beta[layer], weights.is_centred, normal[r])
    _add_layer(normal, weights.query_key_value, layer, joined)
    if len(weights.cosines):
        for r in range(num_rows):
            turned = joined[r, : size - memories.keys.shape[2] * head_width]
            _turn(turned, weights.cosines[rows.positions[r]], weights.sines[rows.positions[r]])
    _remember(joined[:, :size], memories, layer, rows)
    _mix(joined[:, :size], memories, layer, rows, scratch.scores, scratch.mean, mixed)
    _add_layer(mixed, weights.attention_output, layer, x)


@_grouped
def _add_feed_forward(weights, scratch, layer, x):  # type: ignore[no-untyped-def]
    normal, inner = scratch.normal[: x.shape[0]], scratch.inner[: x.shape[0]]
    for r in range(x.shape[0]):
        _normalise(
            x[r], weights.feed_forward_gamma[layer], weights.feed_forward_beta[layer], weights.is_centred, normal[r]
        )
        _fill(inner[r], _ZERO)
        _add(inner[r], weights.feed_forward_in_bias[layer])
    _add_layer(normal, weights.feed_forward_in, layer, inner)
    for r in range(x.shape[0]):
        _activate(inner[r], weights.is_gated, weights.feed_forward_out.numbers.shape[2])
        _add(x[r], weights.feed_forward_out_bias[layer])
    _add_layer(inner, weights.feed_forward_out, layer, x)


@_grouped
def _likeliest(logits):  # type: ignore[no-untyped-def]
    """The place of the largest logit, the first of equal ones."""
    bits, most, first, size = logits.view(np.int32), _highest(logits), np.int32(len(logits)), np.int32(len(logits))
    for v in range(len(bits)):
        first = min(first, np.int32(v) if _order(bits[v]) == most else size)
    return first


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
def _choose(logits, best, temperature, top_k, top_p, uniform, weights):  # type: ignore[no-untyped-def]
    """One token: the likeliest at temperature 0, else drawn among the ``top_k`` likeliest, of these the fewest
    whose probability reaches ``top_p`` (Holtzman et al. 2020, section 3.1). ``uniform`` is in [0, 1)."""
    size = len(logits)
    if temperature == 0 or top_k == 1:
        return best
    for v in range(size):
        weights[v] = _exponential((logits[v] - logits[best]) / temperature)
    if 0 < top_k < size:
        _keep(weights, np.ones(size, np.float32), np.float32(top_k))
    if top_p < 1:
        _keep(weights, weights.copy(), top_p * _sum(weights))
    return _drawn(weights, uniform, best)


@_grouped
def _drawn(weights, uniform, best):  # type: ignore[no-untyped-def]
    """The first token at which the sum of the weights exceeds ``uniform`` of all; found by blocks, then within one."""
    left = uniform * np.float64(_sum(weights))
    for start in range(0, len(weights), PANEL):
        block = weights[start : start + PANEL]
        here = np.float64(_sum(block))
        if left < here:
            last = best
            for i in range(len(block)):
                left -= block[i]
                last = start + i if block[i] > 0 else last
                if left < 0:
                    break
            return last
        left -= here
    return best


@_grouped
def _sum(values):  # type: ignore[no-untyped-def]
    total = _ZERO
    for v in range(len(values)):
        total += values[v]
    return total


@_grouped
def _tell(logits, best, token, num_top, step, row, written):  # type: ignore[no-untyped-def]
    """Note a token and its log-probability as the model has it, before temperature and penalty."""
    log_total = _log_total(logits, logits[best])
    written.tokens[step, row] = token
    written.log_probabilities[step, row] = logits[token] - log_total
    if num_top:
        _largest(logits, num_top, written.top_tokens[step, row])
        for i in range(num_top):
            written.top_log_probabilities[step, row, i] = logits[written.top_tokens[step, row, i]] - log_total


@_entrance
def advance(weights, memories, scratch, choices, rows, uniforms, written):  # type: ignore[no-untyped-def]
    """Read one token per row and choose the next one where ``rows.ends`` says so; with more steps, go on with those.

    Args:
        uniforms: a random number in [0, 1) for each choice.                        # [steps, R]
        written: what is chosen. More than one step wants every row to be an end.   # [steps, R]
    """
    size, num_rows = weights.token_embedding.numbers.shape[0], len(rows.tokens)
    for step in range(uniforms.shape[0]):
        _read(weights, memories, scratch, rows)
        num_ends = 0
        for r in range(num_rows):
            if rows.ends[r]:
                _fill(scratch.mixed[num_ends], _ZERO)
                _add(scratch.mixed[num_ends], scratch.normal[r])
                _fill(scratch.logits[num_ends], _ZERO)
                num_ends += 1
        all_logits = scratch.logits[:num_ends]
        _add_product(scratch.mixed[:num_ends], weights.output.numbers, weights.output.scales, all_logits)
        i = 0
        for r in range(num_rows):
            written.tokens[step, r] = -1
            if rows.ends[r]:
                logits = all_logits[i, :size]
                i += 1
                token = rows.given[r]
                best = _likeliest(logits)
                if token < 0:
                    token = _next(
                        logits, best, choices, memories.seen, rows.slots[r], uniforms[step, r], scratch.weights
                    )
                _tell(logits, best, token, choices.num_top[rows.slots[r]], step, r, written)
                rows.tokens[r] = token
                rows.positions[r] += 1


@_grouped
def _next(logits, best, choices, seen, slot, uniform, room):  # type: ignore[no-untyped-def]
    penalised = logits
    if choices.repetition_penalty[slot] != 1:
        penalised = logits.copy()
        _penalise(penalised, seen[slot], choices.repetition_penalty[slot])
        best = _likeliest(penalised)
    return _choose(penalised, best, choices.temperature[slot], choices.top_k[slot], choices.top_p[slot], uniform, room)
