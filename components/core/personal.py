"""Personal data and secrets: found by patterns, believed only when their check digits hold, replaced by their kind.

In: texts as Arrow strings, the kinds to look for. Out: the texts with ``<EMAIL>``, ``<PHONE>``, … in the place of
what was found, and how many of each. In between: RE2 matches in linear time, so no text can stall it; one gate,
a single pass of one automaton, lets most texts through untouched, and those keep their bytes.

Found: e-mail addresses; telephone numbers (international, national with their separators, others after a word
such as "phone"); public IP addresses (private ones name no person, as in FineWeb, Penedo et al. 2024, appendix);
payment cards (issuer prefix and Luhn); IBANs (ISO 7064); national ids with a check digit or a fixed shape; keys,
tokens and passwords. Not found: names, postal addresses, dates of birth, which need a model and not a pattern.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import re2
from stdnum import iban, luhn
from stdnum.br import cpf
from stdnum.cn import ric
from stdnum.es import dni
from stdnum.fr import nir
from stdnum.in_ import aadhaar
from stdnum.it import codicefiscale
from stdnum.us import ssn

from components.core.personal_kinds import KINDS, Kind
from components.core.strings import replaced, utf8_values


class Masked(NamedTuple):
    """Texts without personal data, and how many of each kind were replaced."""

    texts: pa.Array
    counts: Mapping[str, int]


class Span(NamedTuple):
    """Bytes ``begin`` to ``end`` of a text are of this kind."""

    begin: int
    end: int
    kind: Kind


class _Rule(NamedTuple):
    """A pattern (its first group, or all of it, is what is replaced) and what must hold of a match."""

    pattern: Any
    holds: Callable[[bytes, int, int], bool]


def mask(texts: pa.Array, kinds: Sequence[Kind] = KINDS) -> Masked:
    """Replace personal data of ``kinds`` in ``texts``: large strings, none of them null."""
    wanted = [kind for kind in KINDS if kind in kinds]
    counts, changed = Counter[str](), dict[int, bytes]()
    for place, text in enumerate(utf8_values(texts)):
        if _GATE.search(text) and (spans := find(text, wanted)):
            counts.update(span.kind for span in spans)
            changed[place] = _without(text, spans)
    return Masked(replaced(texts, changed), {kind: counts[kind] for kind in wanted})


def find(text: bytes, kinds: Sequence[Kind] = KINDS) -> list[Span]:
    """The personal data in a text, in its order; no two spans overlap."""
    taken: list[Span] = []
    for kind in (kind for kind in KINDS if kind in kinds):
        found = (Span(begin, end, kind) for rule in _RULES[kind] for begin, end in _matches(rule, text))
        taken = _claimed(taken, sorted(found))
    return taken


def _claimed(taken: Sequence[Span], found: Sequence[Span]) -> list[Span]:
    """``taken``, and of ``found`` what overlaps neither it nor what was found before; all three are in order."""
    free, at = list[Span](), 0
    for span in found:
        while at < len(taken) and taken[at].end <= span.begin:
            at += 1
        is_after = not free or free[-1].end <= span.begin
        if is_after and (at == len(taken) or span.end <= taken[at].begin):
            free.append(span)
    return sorted((*taken, *free))


def _without(text: bytes, spans: Sequence[Span]) -> bytes:
    pieces, done = list[bytes](), 0
    for span in spans:
        pieces += [text[done : span.begin], b"<%s>" % span.kind.upper().encode()]
        done = span.end
    return b"".join([*pieces, text[done:]])


def _matches(rule: _Rule, text: bytes) -> Iterator[tuple[int, int]]:
    for match in rule.pattern.finditer(text):
        begin, end = match.span(match.re.groups and 1)
        if rule.holds(text, begin, end):
            yield begin, end


def _always(_text: bytes, _begin: int, _end: int) -> bool:
    return True


def _checked(is_valid: Callable[[str], bool]) -> Callable[[bytes, int, int], bool]:
    """Holds where a number stands by itself and its check digits are right."""
    return lambda text, begin, end: _stands_alone(text, begin, end) and is_valid(text[begin:end].decode())


def _stands_alone(text: bytes, begin: int, end: int) -> bool:
    """Whether it is no part of a longer number or word, of an address on the web, or the argument of a call in code."""
    return not (_GOES_ON_BEFORE.search(text[max(0, begin - 2) : begin]) or _GOES_ON_AFTER.match(text[end : end + 2]))


def _is_card(number: str) -> bool:
    digits = re.sub(r"\D", "", number)
    return _ISSUERS.match(digits) is not None and luhn.is_valid(digits)


def _is_public_address(text: bytes, begin: int, end: int) -> bool:
    try:
        address = ipaddress.ip_address(text[begin:end].decode())
    except ValueError:
        return False
    if not _stands_alone(text, begin, end) or b":" in (text[begin - 1 : begin], text[end : end + 1]):
        return False
    if address.version == 6:
        return not (address.is_private or address.is_multicast)
    # Numbers of sections and versions look the same.
    is_number = max(address.packed) < 10 or _ends_with(_BEFORE_SECTION, text, begin)
    return address.is_global and not is_number


def _is_telephone(text: bytes, begin: int, end: int) -> bool:
    num_digits = len(re.sub(rb"\D", b"", text[begin:end]))
    return 9 <= num_digits <= 15 and _stands_alone(text, begin, end)


def _is_announced_telephone(text: bytes, begin: int, end: int) -> bool:
    """A number of which only the words beside it say what it is."""
    num_digits = len(re.sub(rb"\D", b"", text[begin:end]))
    is_other = _DATE_OR_DECIMAL.match(text[begin:end]) is not None
    if is_other or not (7 <= num_digits <= 15 and _stands_alone(text, begin, end)):
        return False
    return _ends_with(_BEFORE_TELEPHONE, text, begin) or _AFTER_TELEPHONE.match(text[end : end + 20]) is not None


def _is_announced_card(text: bytes, begin: int, end: int) -> bool:
    """A number of an issuer that nobody knows, where the words before it speak of a card."""
    return _ends_with(_BEFORE_CARD, text, begin) and _is_alone_and_checked(text, begin, end)


def _is_announced_licence(text: bytes, begin: int, end: int) -> bool:
    return _ends_with(_BEFORE_LICENCE, text, begin) and _stands_alone(text, begin, end)


def _ends_with(words: Any, text: bytes, begin: int) -> bool:
    """Whether the text before ``begin`` ends with such words and no further number."""
    return words.search(text[max(0, begin - 60) : begin]) is not None


def _is_random(text: bytes, begin: int, end: int) -> bool:
    """Whether a quoted value looks drawn by lot: letters and digits, at least 3 bits a character (Shannon 1948)."""
    value = text[begin:end]
    if not (re.search(rb"[0-9]", value) and re.search(rb"[A-Za-z]", value)):
        return False
    shares = np.bincount(np.frombuffer(value, np.uint8)) / len(value)
    return bool(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum() >= 3.0)


def _compile(pattern: str) -> Any:
    options = re2.Options()
    options.encoding, options.log_errors = re2.Options.Encoding.LATIN1, False  # offsets are those of bytes
    return re2.compile(pattern.encode(), options=options)


_ISSUERS = re.compile(
    r"(?:4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|6(?:011|4[4-9]\d|5\d\d)\d{12}"
    r"|62\d{14,17}|35\d{14}|(?:2131|1800)\d{11}|(?:50|5[6-9]|6[0-9])\d{10,17})\Z"
)
_BEFORE_TELEPHONE = _compile(
    r"(?i)(?:phone|tele?phon|\btel\b|\bcalls?\b|called|calling|\bmobile|\bcell|\bfax|whatsapp|\bdial|\bsms\b|hotline"
    r"|answer(?:ing|s)? at|messages? to|texts? to|reach (?:me|us|him|her|them)"
    r"|(?:my|your|his|her|our|their|new|office|home|work|contact) number)[^0-9=<>\[\]{}]{0,40}$"
)
_AFTER_TELEPHONE = _compile(r"(?i)[ (]{1,3}(?:office|fax|mobile|home|cell|work|phone)\b")
_BEFORE_CARD = _compile(r"(?i)\b(?:credit|debit|bank|payment|visa|master|amex) ?card\b[^0-9\n]{0,30}$")
_BEFORE_LICENCE = _compile(r"(?i)\b(?:driver'?s?'?|driving) licen[cs]e\b[^0-9\n]{0,30}$")
_is_alone_and_checked = _checked(luhn.is_valid)
_BEFORE_SECTION = _compile(r"(?i)(?:sections?|sec\.|chapters?|version|release|\bv)[^0-9\n]{0,3}$")
_DATE_OR_DECIMAL = _compile(r"(?:[0-9]+\.[0-9]+|[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2})\z")
_GOES_ON_BEFORE = _compile(r"[A-Za-z0-9_.\-/]\z|[A-Za-z0-9_][(\[]\z")
_GOES_ON_AFTER = _compile(r"[A-Za-z0-9_]|[.,-][0-9]")
# Country codes that are assigned (ITU-T E.164, 2016).
_COUNTRY = (
    r"(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|21[1268]|2[2-6][0-9]|29[0-9]|3[578][0-9]|42[013]"
    r"|50[0-9]|59[0-9]|6[7-9][0-9]|8[0578][0-9]|9[679][0-9])"
)
_SEPARATOR = r"[ ./-]"
# Two letters with which no British national insurance number begins (HMRC, NIM39110).
_NO_PREFIXES = frozenset((b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"))
_RULES: dict[Kind, list[_Rule]] = {
    "secret": [
        _Rule(_compile(pattern), _always)
        for pattern in (
            r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[A-Za-z0-9+/=\s:,-]*?-----END [A-Z ]{0,20}PRIVATE KEY-----",
            r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
            r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b|\bgithub_pat_[A-Za-z0-9_]{40,}\b|\bglpat-[A-Za-z0-9_-]{20,}",
            r"\bxox[abposr]-[A-Za-z0-9-]{10,}|\bhf_[A-Za-z0-9]{34,}\b|\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{20,}\b",
            r"\bsk-(?:[a-z]+-)?[A-Za-z0-9_-]{20,}|\bAIza[0-9A-Za-z_-]{35}|\bnpm_[A-Za-z0-9]{36}\b",
            r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
        )
    ]
    + [
        _Rule(
            _compile(
                r"(?i)(?:passw(?:or)?d|passphrase|secret|token|api_?-?key|access_?-?key|private_?-?key|credential)[a-z_]{0,20}"
                r"[\"']?\s{0,3}[:=]>?\s{0,3}[\"']([^\s\"']{8,200})[\"']"
            ),
            _is_random,
        )
    ],
    "email": [
        _Rule(
            _compile(
                r"[A-Za-z0-9](?:[A-Za-z0-9._%+'-]{0,62}[A-Za-z0-9_+-])?@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
                r"[A-Za-z]{2,24}\b"
            ),
            _always,
        )
    ],
    "iban": [
        _Rule(_compile(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), _checked(iban.is_valid))
    ],
    "card": [
        _Rule(_compile(r"[0-9](?:[ -]?[0-9]){11,18}"), _checked(_is_card)),
        _Rule(_compile(r"[0-9](?:[ -]?[0-9]){11,18}"), _is_announced_card),
    ],
    "national_id": [
        _Rule(_compile(r"[0-9]{3}-[0-9]{2}-[0-9]{4}"), _checked(ssn.is_valid)),
        _Rule(_compile(r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}"), _checked(cpf.is_valid)),
        _Rule(_compile(r"[1-9][0-9]{16}[0-9Xx]"), _checked(ric.is_valid)),
        _Rule(_compile(r"[0-9]{8}-?[A-Z]"), _checked(dni.is_valid)),
        _Rule(_compile(r"[12] ?[0-9]{2} ?[0-9]{2} ?[0-9AB]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}"), _checked(nir.is_valid)),
        _Rule(_compile(r"[2-9][0-9]{3} [0-9]{4} [0-9]{4}"), _checked(aadhaar.is_valid)),
        _Rule(_compile(r"[A-Z]{6}[0-9]{2}[A-Z][0-9]{2}[A-Z][0-9]{3}[A-Z]"), _checked(codicefiscale.is_valid)),
        _Rule(
            _compile(r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]\b"),
            lambda text, begin, end: _stands_alone(text, begin, end) and text[begin : begin + 2] not in _NO_PREFIXES,
        ),
        _Rule(_compile(r"\b[A-Z]{0,2}[0-9][0-9-]{4,16}[0-9]"), _is_announced_licence),
    ],
    "ip": [
        _Rule(_compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"), _is_public_address),
        _Rule(_compile(r"[0-9A-Fa-f]{1,4}(?:::?[0-9A-Fa-f]{1,4}){3,7}(?:::)?"), _is_public_address),
    ],
    "phone": [
        _Rule(_compile(rf"\+{_COUNTRY}(?:{_SEPARATOR}{{0,2}}\(?[0-9]{{1,4}}\)?){{2,6}}"), _is_telephone),
        _Rule(
            _compile(
                r"(?:(?:001|\+?1)[-. ])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[-. ])[0-9]{3}[-. ][0-9]{4}(?:x[0-9]{1,5})?"
            ),
            _is_telephone,
        ),
        _Rule(_compile(rf"0[1-9][0-9]{{0,3}}(?:{_SEPARATOR}[0-9]{{2,4}}){{2,4}}"), _is_telephone),
        _Rule(
            _compile(rf"\(?[0-9]{{1,5}}\)?(?:{_SEPARATOR}{{0,2}}\(?[0-9]{{1,5}}\)?){{1,6}}(?:x[0-9]{{1,5}})?"),
            _is_announced_telephone,
        ),
    ],
}
# Whatever a rule can match holds one of these.
_GATE = _compile(
    r"@[A-Za-z0-9]|[0-9](?:[ ./()-]{0,3}[0-9]){6}|[0-9](?:\.[0-9]+){3}|[0-9A-Fa-f]:[0-9A-Fa-f:]{3}|[A-Z]{2} ?[0-9]{2}"
    r"|PRIVATE KEY|AKIA|ASIA|gh[pousr]_|github_pat_"
    r"|glpat-|xox|hf_|[srp]k_|sk-|AIza|npm_|eyJ"
    r"|(?i:passw|passphrase|secret|token|key|credential)[A-Za-z_]{0,20}[\"']?\s{0,3}[:=]"
    r"|[A-Z]{6}[0-9]{2}"
)
