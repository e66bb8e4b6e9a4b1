"""A tiny packed corpus, its tokenizer and a model of random weights, as their stages would leave them."""

import io

import numpy as np
import pyarrow as pa

from components.core.files import write_json

CONFIG = {
    "num_resamples": 200,
    "prompts": ["The model", "<script>alert(1)</script>"],
    "max_new_tokens": 5,
    "num_samples": 6,
    "extraction_tokens": 6,
}
NUM_CANARIES = 4
SENTENCES = ("The model reads the text.", "Some text is short.", "The text reads like the model, and so on. " * 8)


def make_world(folder, num_documents=12):
    """The inputs of ``evaluate``: folders by name, without records."""
    inputs = {name: folder / name for name in ("model", "tokens", "tokenizer")}
    for path in inputs.values():
        path.mkdir(parents=True)
    codec = make_tokenizer(inputs["tokenizer"])
    make_tokens(inputs["tokens"], codec, num_documents)
    make_model(inputs["model"], codec.vocabulary_size)
    return inputs


def make_tokenizer(folder):
    from components.tokenizer.codec import Codec
    from components.tokenizer.learning import learn

    (folder / "tokenizer.json").write_text(learn([list(SENTENCES)], 300, 2).to_str(), encoding="utf-8")
    return Codec.load(folder)


def make_tokens(folder, codec, num_documents):
    from components.core.tokens import PACKED_DOCUMENTS, Layout
    from components.pack.writer import SplitWriter

    layouts = {}
    for name in ("train", "validation", "test"):
        texts = [f"{SENTENCES[n % 3]} {name} {n}" for n in range(num_documents)]
        encoded = [np.append(tokens, codec.end_of_text) for tokens in codec.encode_all(texts)]
        documents = pa.table({
            "doc_id": pa.array([f"{n * 7919 % 997:032x}" for n in range(num_documents)], pa.string()),
            "source": pa.array([f"source {n % 2}" for n in range(num_documents)], pa.string()),
            "language": pa.array(["en" if n % 3 else None for n in range(num_documents)], pa.string()),
            "num_bytes": pa.array([len(text.encode()) for text in texts], pa.int64()),
            "num_tokens": pa.array([len(tokens) for tokens in encoded], pa.int64()),
        }, schema=PACKED_DOCUMENTS)  # fmt: skip
        with SplitWriter(folder, name, "uint16", 1 << 20) as writer:
            writer.write(io.BytesIO(np.concatenate([[], *encoded]).astype("<u2").tobytes()), documents)
        layouts[name] = writer.layout(32)
    layout = Layout(vocabulary_size=codec.vocabulary_size, context_tokens=32, shard_tokens=1 << 20, dtype="uint16",
                    end_of_text=codec.end_of_text, canaries=NUM_CANARIES, splits=layouts)  # fmt: skip
    write_json(folder / "layout.json", layout.model_dump(mode="json"))


def make_model(folder, vocabulary_size):
    from components.model import ModelConfig
    from components.model.transformer import Transformer
    from components.model.weights import save_model

    sizes = {"width": 16, "num_layers": 1, "num_heads": 2, "feed_forward_width": 16}
    save_model(Transformer(ModelConfig(vocabulary_size=vocabulary_size, context_tokens=32, **sizes), seed=1), folder)
