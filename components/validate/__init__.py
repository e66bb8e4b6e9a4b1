"""Great Expectations, and nothing else imports it: documents, corpus, tokens and examples are measured and judged.

A row that fails a check of its own is set aside by its ``doc_id``; too many of them, or a failure of the whole,
fail the gate and stop the chain.
"""

from components.core.pinned import pinned_files
from components.core.stage import Stage
from components.validate.config import CorpusConfig, DocumentsConfig, ExamplesConfig, TokensConfig
from components.validate.stage import check_examples, validate_corpus, validate_documents, validate_tokens

STAGES = {
    "validate@documents": Stage("validate@documents", DocumentsConfig, validate_documents, reads=pinned_files),
    "validate@corpus": Stage("validate@corpus", CorpusConfig, validate_corpus, reads=pinned_files),
    "validate@tokens": Stage("validate@tokens", TokensConfig, validate_tokens, reads=pinned_files),
    "check@": Stage("check@", ExamplesConfig, check_examples, place="applications.{}.check"),
}

__all__ = [
    "STAGES",
    "CorpusConfig",
    "DocumentsConfig",
    "ExamplesConfig",
    "TokensConfig",
    "check_examples",
    "validate_corpus",
    "validate_documents",
    "validate_tokens",
]
