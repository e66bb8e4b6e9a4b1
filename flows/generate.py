"""`pedigree generate`: let a registered model go on with a text.

In: a prompt and which version. Out: text on standard output. In between: every byte of the version is checked
against its digest before any of it is parsed.
"""

from __future__ import annotations

import json
from typing import Any

from components.core import params
from components.core.errors import PedigreeError, RegistryError


def generate(prompt: str, *, which: str, num_tokens: int, temperature: float, seed: int) -> int:
    """Print the prompt and what follows; returns 0. Raises PedigreeError."""
    from components.registry import load

    contents = load(model_name(), which)
    from components.model.decoding import load_weights
    from components.model.writing import Sampling, Writer
    from components.tokenizer.codec import Codec

    codec = Codec.load(contents.tokenizer)
    values = {"num_tokens": num_tokens, "temperature": temperature, "seed": seed}
    sampling = params.parse(values, Sampling, "the command line")
    # A document starts after an end of text.
    tokens = [codec.end_of_text, *codec.encode(prompt).tolist()]
    text = codec.decode(Writer(*load_weights(contents.model)).write(tokens, sampling, codec.end_of_text))
    print(prompt + text)
    return 0


def model_name() -> str:
    """The name of the registered model in params.yaml."""
    return str(params.load()["register"]["name"])


def champion_sample() -> list[str]:
    """A text that the champion wrote when it was evaluated, in lines; nothing while there is none."""
    from components.registry import champion, load

    try:
        version = champion(model_name())
        if version is None:
            return []
        samples: list[dict[str, Any]] = json.loads((load(model_name()).evaluation / "samples.json").read_bytes())
    except (PedigreeError, OSError, KeyError):
        return []
    first = samples[0]
    return [f"{version.name} version {version.number}, the champion, goes on with {first['prompt']!r}:", "",
            *(f"    {line}" for line in f"{first['prompt']}{first['text']}".splitlines()), ""]  # fmt: skip


def registered_aliases() -> list[str]:
    """The versions that an alias names, a line each."""
    from components.registry import list_versions

    try:
        versions = [version for version in list_versions(model_name()) if version.aliases]
    except RegistryError as error:
        return [f"the registry: {error.found}"]
    return [f"{', '.join(v.aliases)}: {v.name} version {v.number}, {v.digest[:16]}" for v in versions] or ["none yet"]
