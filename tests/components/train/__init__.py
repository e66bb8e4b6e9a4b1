"""Settles what Keras runs on before a test module imports it."""

import components.model  # noqa: F401
