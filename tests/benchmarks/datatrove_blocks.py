"""What datatrove's blocks take for given texts, and how they decide; run by a Python that has datatrove.

In: a JSON file of texts and a tokenizer.json. Out: JSON on standard output: of each block its seconds of processor
time and, of a filter, whether it keeps each text; and the seconds of all of them one after the other on what the
blocks before them kept, as a pipeline runs them. In between: nothing of ours is imported.

    PYTHON tests/benchmarks/datatrove_blocks.py texts.json tokenizer.json
"""

import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.dedup import MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter
from datatrove.pipeline.tokens import TokensCounter


def main(texts_file, tokenizer_file):
    texts = json.loads(Path(texts_file).read_text())
    filters = {
        "gopher_repetition": GopherRepetitionFilter(), "gopher_quality": GopherQualityFilter(),
        "c4": C4QualityFilter(filter_no_terminal_punct=False), "fineweb": FineWebQualityFilter(),
    }  # fmt: skip
    formatters = {"mojibake": FTFYFormatter(), "personal data": PIIFormatter()}
    blocks = {}
    for name, block in {**filters, **formatters}.items():
        started = time.process_time()
        if name in filters:
            kept = [block.filter(document) is True for document in documents(texts)]
        else:
            kept = [block.format(text) is not None for text in texts]
        blocks[name] = [time.process_time() - started, kept]
    seconds = pipeline(texts, [*formatters.values(), *filters.values()], tokenizer_file)
    json.dump({"blocks": blocks, "pipeline": seconds}, sys.stdout)


def pipeline(texts, steps, tokenizer_file):
    """Seconds of all blocks, MinHash signatures and tokens; its language filter is left out, it needs a download."""
    with tempfile.TemporaryDirectory() as folder:
        config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
        counter, signatures = TokensCounter(tokenizer_file), MinhashDedupSignature(folder, config)
        list(counter.run(documents(texts[:1])))  # loads the tokenizer before the clock runs
        started = time.process_time()
        data = documents(texts)
        for step in steps:
            data = step.run(data)
        kept = list(data)
        with contextlib.redirect_stdout(sys.stderr):
            for _ in signatures.run(iter(kept)) or ():
                pass
        list(counter.run(iter(kept)))
        return time.process_time() - started


def documents(texts):
    return (Document(text=text, id=str(number)) for number, text in enumerate(texts))


if __name__ == "__main__":
    main(*sys.argv[1:])
