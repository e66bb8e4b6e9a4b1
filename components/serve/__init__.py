"""The service that answers: OpenAI's routes and a playground over the versions of a registry.

    engine        texts written side by side, one lane per processor
    text          tokens to text, piece by piece
    applications  what a version learned, and how it answers
    batch         many prompts without a server
    versions      the versions in memory, and the alias that is followed
    aside         calls that may take for ever
    requests      from a request to orders; ``protocol`` says what requests may say
    answers       the pieces of one request's texts; ``formats`` says how they look
    gate          keys, shares, sizes, times; ``errors`` says how refusals look
    app           the routes; ``page`` the playground
    shadow        another version that answers unseen
    watch         log lines and metrics
    server        the process

Importing this package is cheap; ``components.serve.server`` is the service.
"""

from components.serve.config import ServeConfig

__all__ = ["ServeConfig"]
