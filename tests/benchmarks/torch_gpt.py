"""The model and the step of ``components.model`` and ``components.train``, as one would write them in PyTorch.

A peer for measurements, run by an interpreter that has PyTorch; it imports nothing of the project. The same formulas,
sizes, first weights, optimizer and schedule: GPT-2's block without bias in the attention, tied output, AdamW with
decayed matrices and a clipped gradient. Compiled, with scaled_dot_product_attention, in bfloat16 by autocast.

Shape letters: those of ``components.model.transformer``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.utils.checkpoint
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Sizes:
    """What ``ModelConfig`` calls by the same names."""

    vocabulary_size: int
    context_tokens: int
    width: int
    num_layers: int
    num_heads: int
    feed_forward_width: int
    dropout: float = 0.0


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(sizes.width), nn.LayerNorm(sizes.width)
        self.query_key_value = nn.Linear(sizes.width, 3 * sizes.width, bias=False)
        self.attention_output = nn.Linear(sizes.width, sizes.width, bias=False)
        self.feed_forward_in = nn.Linear(sizes.width, sizes.feed_forward_width)
        self.feed_forward_out = nn.Linear(sizes.feed_forward_width, sizes.width)
        self.drop = nn.Dropout(sizes.dropout)

    def forward(self, x: torch.Tensor, memory: tuple[torch.Tensor, torch.Tensor] | None = None):
        """[B, T, D]; with a memory of keys and values, the tokens go on after it, and the longer memory comes too."""
        batch, tokens, width = x.shape
        joined = self.query_key_value(self.attention_norm(x))
        query, key, value = (
            part.view(batch, tokens, self.sizes.num_heads, -1).transpose(1, 2) for part in joined.split(width, dim=-1)
        )
        if memory is not None:
            key, value = torch.cat([memory[0], key], 2), torch.cat([memory[1], value], 2)
        dropout = self.sizes.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=tokens > 1)
        x = x + self.drop(self.attention_output(mixed.transpose(1, 2).reshape(batch, tokens, width)))
        x = x + self.drop(self.feed_forward_out(F.gelu(self.feed_forward_in(self.feed_forward_norm(x)))))
        return x, (key, value)


class GPT(nn.Module):
    """Token numbers in; ``hidden`` gives the last states, ``loss`` the mean cross-entropy."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.token_embedding = nn.Embedding(sizes.vocabulary_size, sizes.width)
        self.position_embedding = nn.Embedding(sizes.context_tokens, sizes.width)
        self.drop = nn.Dropout(sizes.dropout)
        self.blocks = nn.ModuleList([Block(sizes) for _ in range(sizes.num_layers)])
        self.final_norm = nn.LayerNorm(sizes.width)
        self.apply(self._initialise)

    def _initialise(self, module: nn.Module) -> None:
        """GPT-2's: deviation 0.02, narrower by √(2 layers) where a residual branch ends; biases 0."""
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, Block):
            for last in (module.attention_output, module.feed_forward_out):
                nn.init.normal_(last.weight, std=0.02 / math.sqrt(2 * self.sizes.num_layers))

    def hidden(self, tokens: torch.Tensor) -> torch.Tensor:
        """[B, T] → [B, T, D]."""
        x = self.drop(self.token_embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]])
        for block in self.blocks:
            x, _ = block(x)
        return self.final_norm(x)

    def loss(self, windows: torch.Tensor, num_chunks: int = 1) -> torch.Tensor:
        """Nats per token of windows [B, T + 1]; in chunks, whose logits are worked out again for their gradient."""
        hidden, targets = self.hidden(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten()
        if num_chunks == 1:
            return self._cross_entropy(hidden, targets) / len(targets)
        parts = zip(hidden.chunk(num_chunks), targets.chunk(num_chunks), strict=True)
        sums = [torch.utils.checkpoint.checkpoint(self._cross_entropy, *part, use_reentrant=False) for part in parts]
        return torch.stack(sums).sum() / len(targets)

    def _cross_entropy(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = F.linear(hidden, self.token_embedding.weight)
        return F.cross_entropy(logits.float(), targets, reduction="sum")

    @torch.no_grad()
    def decode(self, prompt: list[int], num_tokens: int) -> list[int]:
        """The likeliest continuation, by a memory of keys and values that grows."""
        memories, found, unread, start = [None] * len(self.blocks), [], torch.tensor([prompt]), 0
        for _ in range(num_tokens):
            x = self.token_embedding(unread) + self.position_embedding.weight[start : start + unread.shape[1]]
            for number, block in enumerate(self.blocks):
                x, memories[number] = block(x, memories[number])
            start += unread.shape[1]
            unread = F.linear(self.final_norm(x[:, -1:]), self.token_embedding.weight).argmax(-1)
            found.append(int(unread))
        return found


class Step:
    """One step of AdamW on a batch of windows; ``step(windows, rate)`` gives loss and gradient length."""

    def __init__(
        self, model: GPT, *, compute_type: str, compiled: bool = True, num_chunks: int = 1,
        weight_decay: float = 0.1, clip_norm: float = 1.0,
    ) -> None:  # fmt: skip
        self.model, self.clip_norm, self.device = model, clip_norm, next(model.parameters()).device
        self.autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=compute_type == "bfloat16")
        matrices = [p for p in model.parameters() if p.dim() >= 2]
        others = [p for p in model.parameters() if p.dim() < 2]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.95), eps=1e-8, fused=True)
        loss = lambda windows: model.loss(windows, num_chunks)  # noqa: E731
        self.loss = torch.compile(loss) if compiled else loss

    def __call__(self, windows, learning_rate: float) -> tuple[float, float]:
        """One step on windows [B, T + 1], an array of whole numbers."""
        loss, norm = self.launch(windows, learning_rate)
        return float(loss.detach()), float(norm)

    def launch(self, windows, learning_rate: float) -> tuple[torch.Tensor, torch.Tensor]:
        """As a call, without waiting for its numbers."""
        with self.autocast:
            loss = self.loss(torch.as_tensor(windows, device=self.device).long())
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss, norm
