"""A tiny model, and the same formulas in plain NumPy, float64, one line for each of the paper."""

import math

import numpy as np

from components.model import ModelConfig

SIZES = ModelConfig(vocabulary_size=61, context_tokens=12, width=16, num_layers=2, num_heads=4, feed_forward_width=24)
# The same sizes with every other choice.
OTHER = SIZES.model_copy(
    update={"num_key_value_heads": 2, "norm": "rms_norm", "activation": "swiglu", "positions": "rotary",
            "output": "free"}
)  # fmt: skip


def make_model(seed=1, compute_type="float32", config=SIZES):
    """A model whose every weight is random, norms and biases too, so that none can be left out unseen."""
    from components.model.transformer import Transformer

    model, random = Transformer(config, seed=seed, compute_type=compute_type), np.random.default_rng(seed)
    for weight in model.named_weights.values():
        weight.assign(weight.numpy() + 0.3 * random.standard_normal(weight.shape).astype("float32"))
    return model


def make_tokens(num_sequences, num_tokens, seed=0, config=SIZES):
    return np.random.default_rng(seed).integers(0, config.vocabulary_size, (num_sequences, num_tokens), np.int32)


def reference_logits(weights, config, tokens):
    """What the model computes.  # [B, T] -> [B, T, V]"""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    x = w["token_embedding"][tokens]
    if config.positions == "learned":
        x = x + w["position_embedding"][: tokens.shape[1]]
    for i in range(config.num_layers):
        p = {name.removeprefix(f"block_{i}."): a for name, a in w.items() if name.startswith(f"block_{i}.")}
        joined = norm(x, p, "attention_norm") @ p["query_key_value.kernel"]
        x = x + multi_head(joined, config) @ p["attention_output.kernel"]
        x = x + feed_forward(norm(x, p, "feed_forward_norm"), p, config)
    return norm(x, w, "final_norm") @ w.get("output_embedding", w["token_embedding"]).T


def norm(x, weights, name):
    return (
        layer_norm(x, weights[f"{name}.gamma"], weights[f"{name}.beta"])
        if f"{name}.beta" in weights
        else rms_norm(x, weights[f"{name}.gamma"])
    )


def layer_norm(x, gamma, beta):
    """Ba, Kiros and Hinton 2016, equation 3."""
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * gamma + beta


def rms_norm(x, gamma):
    """Zhang and Sennrich 2019, equation 4."""
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * gamma


def feed_forward(x, p, config):
    """Vaswani et al. 2017, equation 2, with GELU; or Shazeer 2020, equation 6, with SwiGLU."""
    inner = x @ p["feed_forward_in.kernel"]
    if config.activation == "swiglu":
        return swiglu(inner) @ p["feed_forward_out.kernel"]
    return gelu(inner + p["feed_forward_in.bias"]) @ p["feed_forward_out.kernel"] + p["feed_forward_out.bias"]


def gelu(x):
    """Hendrycks and Gimpel 2016, section 2: x · Φ(x)."""
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def swiglu(x):
    gate, up = np.split(x, 2, -1)
    return gate / (1 + np.exp(-gate)) * up


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(q, k, v):
    """Vaswani et al. 2017, equation 1, where query t sees keys 0 to t.  # [..., T, K]"""
    scores = q @ np.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1])
    return softmax(np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)) @ v


def multi_head(joined, config):
    """Vaswani et al. 2017, section 3.2.2; heads of keys and values serve equal groups of heads.  # [B, T, D]"""
    width, groups = config.head_width, config.key_value_heads
    queries = config.num_heads * width
    q = np.split(joined[..., :queries], config.num_heads, -1)
    k, v = (np.split(part, groups, -1) for part in np.split(joined[..., queries:], 2, -1))
    if config.positions == "rotary":
        q, k = [rotated(x) for x in q], [rotated(x) for x in k]
    each = config.num_heads // groups
    return np.concatenate([attention(q[h], k[h // each], v[h // each]) for h in range(config.num_heads)], -1)


def rotated(x):
    """Su et al. 2021, equation 34, as a product with e^{i m θ} of complex numbers.  # [B, T, K]"""
    half = x.shape[-1] // 2
    speeds = 10_000.0 ** (-np.arange(half) / half)
    turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * np.arange(x.shape[-2])[:, None] * speeds)
    return np.concatenate([turned.real, turned.imag], -1)


def cross_entropy(hidden, embedding, targets, z_weight=0.0, token_weights=1.0):
    """Mean of −log softmax at the target, and of the squared logarithm of the sum.  # [B, T, D], [V, D], [B, T]"""
    logits = hidden @ embedding.T
    total = np.log(np.exp(logits).sum(-1, keepdims=True))
    losses = -np.take_along_axis(logits - total, targets[..., None], -1) + z_weight * total**2
    return (losses[..., 0] * token_weights).mean()
