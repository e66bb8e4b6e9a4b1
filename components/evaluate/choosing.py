"""Which documents are looked at when there are too many: a choice that is random and always the same.

In: the table of a split. Out: positions of documents, in the order of the stream. In between: documents are taken
in the order of ``doc_id``, which is a digest and knows nothing of their content, until a limit is met; adding
documents elsewhere changes the choice as little as can be.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Positions = npt.NDArray[np.int64]


def choose(documents: pa.Table, *, max_documents: int | None = None, max_tokens: int) -> Positions:
    """Positions of the chosen rows of a table of ``PACKED_DOCUMENTS``, ascending.

    A document that alone has more than ``max_tokens`` tokens is never taken; nor is an empty text, of which bits
    per byte say nothing.
    """
    lengths = documents.column("num_tokens").to_numpy()
    order = np.argsort(np.array(documents.column("doc_id").to_pylist(), dtype=np.str_), kind="stable")
    order = order[(lengths[order] <= max_tokens) & (documents.column("num_bytes").to_numpy()[order] > 0)]
    fits = np.cumsum(lengths[order]) <= max_tokens
    return np.sort(order[fits][:max_documents])
