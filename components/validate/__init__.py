"""Great Expectations, and nothing else imports it: documents, the corpus and the tokens are measured and judged.

A row that fails a check of its own is set aside by its ``doc_id``; too many of them, or a failure of the whole,
fail the gate and stop the chain.
"""

from components.core.stage import Stage
from components.validate.config import CorpusConfig, DocumentsConfig, TokensConfig
from components.validate.stage import reference_file, validate_corpus, validate_documents, validate_tokens

STAGES = {
    "validate@documents": Stage("validate@documents", DocumentsConfig, validate_documents, reads=reference_file),
    "validate@corpus": Stage("validate@corpus", CorpusConfig, validate_corpus, reads=reference_file),
    "validate@tokens": Stage("validate@tokens", TokensConfig, validate_tokens),
}

__all__ = [
    "STAGES",
    "CorpusConfig",
    "DocumentsConfig",
    "TokensConfig",
    "validate_corpus",
    "validate_documents",
    "validate_tokens",
]
