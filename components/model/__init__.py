"""The Transformer: a library in Keras 3 that reads no params and touches no file but those it is given.

    config        ModelConfig: what a model is
    transformer   the model itself
    formulas      its formulas as the papers write them; backends/ has the same ones for fast training
    dropout       dropout that a step's number decides
    lora, int8    low-rank adapters; weights of one byte
    scoring       loss of each token
    decoding      many texts at once on a processor; its kernels in decoding_kernels
    writing       one text after the other, by the same decoder
    answering     many prompts at once: answers scored, written, or ranked
    ngram         a model that only counts, to hold others against
    weights       save and load, safetensors and strict JSON

Importing this package is cheap and settles what Keras will run on; all its modules but weights, lora, int8 and decoding
import Keras.
"""

from components.model.backends import settle_backend
from components.model.config import ModelConfig

settle_backend()

__all__ = ["ModelConfig"]
