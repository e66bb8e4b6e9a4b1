"""A tiny model, and the same formulas in plain NumPy, float64, one line for each of the paper."""

import math

import numpy as np

from components.model import ModelConfig

SIZES = ModelConfig(vocabulary_size=61, context_tokens=12, width=16, num_layers=2, num_heads=4, feed_forward_width=24)


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
    x = w["token_embedding"][tokens] + w["position_embedding"][: tokens.shape[1]]
    for i in range(config.num_layers):
        p = {name.removeprefix(f"block_{i}."): a for name, a in w.items() if name.startswith(f"block_{i}.")}
        h = norm(x, p["attention_norm.gamma"], p["attention_norm.beta"])
        q, k, v = np.split(h @ p["query_key_value.kernel"], 3, axis=-1)
        x = x + multi_head(q, k, v, config.num_heads) @ p["attention_output.kernel"]
        h = norm(x, p["feed_forward_norm.gamma"], p["feed_forward_norm.beta"])
        inner = gelu(h @ p["feed_forward_in.kernel"] + p["feed_forward_in.bias"])
        x = x + inner @ p["feed_forward_out.kernel"] + p["feed_forward_out.bias"]
    return norm(x, w["final_norm.gamma"], w["final_norm.beta"]) @ w["token_embedding"].T


def norm(x, gamma, beta):
    """Ba, Kiros and Hinton 2016, equation 3."""
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * gamma + beta


def gelu(x):
    """Hendrycks and Gimpel 2016, section 2: x · Φ(x)."""
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(q, k, v):
    """Vaswani et al. 2017, equation 1, where query t sees keys 0 to t.  # [..., T, K]"""
    scores = q @ np.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1])
    return softmax(np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)) @ v


def multi_head(q, k, v, num_heads):
    """Vaswani et al. 2017, section 3.2.2.  # [B, T, D]"""
    heads = [attention(*parts) for parts in zip(*(np.split(x, num_heads, -1) for x in (q, k, v)), strict=True)]
    return np.concatenate(heads, -1)


def cross_entropy(hidden, embedding, targets):
    """Mean of −log softmax at the target.  # [B, T, D], [V, D], [B, T]"""
    logits = hidden @ embedding.T
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -np.take_along_axis(logs, targets[..., None], -1).mean()
