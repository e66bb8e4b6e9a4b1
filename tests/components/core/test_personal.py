"""Personal data is found by its shape and its check digits, and nothing else is touched."""

import time

import pyarrow as pa
import pytest

from components.core.personal import find, mask
from components.core.personal_kinds import KINDS
from tests.benchmarks.accuracy import score_personal
from tests.worlds import SHARED_DATA

FOUND = {
    "write to jane.doe+x@mail.example.co.uk today": ("email", "jane.doe+x@mail.example.co.uk"),
    "call +44 20 7946 0958 now": ("phone", "+44 20 7946 0958"),
    "call (415) 555-2671 x": ("phone", "(415) 555-2671"),
    "Tel. 0494 92 82 32": ("phone", "0494 92 82 32"),
    "her number? my phone number is 780 6326": ("phone", "780 6326"),
    "from 86.121.97.248 at noon": ("ip", "86.121.97.248"),
    "from 2a00:1450:4001:81b::200e at noon": ("ip", "2a00:1450:4001:81b::200e"),
    "card 4111 1111 1111 1111 please": ("card", "4111 1111 1111 1111"),
    "pay GB82 WEST 1234 5698 7654 32 soon": ("iban", "GB82 WEST 1234 5698 7654 32"),
    "SSN 536-90-4399.": ("national_id", "536-90-4399"),
    "CPF 390.533.447-05": ("national_id", "390.533.447-05"),
    "身份证 11010519491231002X 。": ("national_id", "11010519491231002X"),
    "DNI 54362315K": ("national_id", "54362315K"),
    "my driver's license number is F162823540116": ("national_id", "F162823540116"),
    "key AKIAIOSFODNN7EXAMPLE leaked": ("secret", "AKIAIOSFODNN7EXAMPLE"),
    "password = 'x8Kd92jQpz71'": ("secret", "x8Kd92jQpz71"),
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----": ("secret", None),
}
LEFT_ALONE = [
    "version 5.10.102.1 and section 7.4.7.1 of 192.168.0.1 and 127.0.0.1",
    "card 4111 1111 1111 1112 fails Luhn, IBAN GB82 WEST 1234 5698 7654 33 fails too",
    "array([ 0.08848053,  0.12345678]) on 1940-04-25 at 12:30:45",
    "np.random.default_rng(6981396440634228121) and int32 from -2147483648 to 2147483647",
    "std::vector<a::b> x; @property def f(self): token = 'tokenizer'",
    "SSN 666-12-3456 was never given; doi:10.1137/10081232X",
]


@pytest.mark.parametrize("text", FOUND)
def test_what_is_personal_is_found_whole(text: str) -> None:
    kind, value = FOUND[text]
    spans = find(text.encode())
    assert [(span.kind, text.encode()[span.begin : span.end].decode()) for span in spans] == [(kind, value or text)]


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert find(text.encode()) == []


def test_placeholders_name_the_kind_and_untouched_texts_keep_their_bytes() -> None:
    texts = pa.array(["Ünïcode stays", "", "é a@b.org ☎ +46 8 928 571 38", "x"], pa.large_string()).slice(1)
    masked = mask(texts)
    assert masked.texts.to_pylist() == ["", "é <EMAIL> ☎ <PHONE>", "x"]
    assert masked.counts == {**dict.fromkeys(KINDS, 0), "email": 1, "phone": 1}


def test_a_kind_that_is_not_wanted_stays() -> None:
    texts = pa.array(["a@b.org 86.121.97.248"], pa.large_string())
    assert mask(texts, ["ip"]).texts.to_pylist() == ["a@b.org <IP>"]
    assert mask(texts, ["ip"]).counts == {"ip": 1}


def test_masking_twice_changes_nothing_more() -> None:
    once = mask(pa.array(list(FOUND), pa.large_string()))
    assert sum(mask(once.texts).counts.values()) == 0


def test_many_matches_in_one_text_take_linear_time() -> None:
    text = b"write to a@example.org or 86.121.97.248, " * 20_000
    started = time.process_time()
    assert len(find(text)) == 40_000
    assert time.process_time() - started < 3.0


@pytest.mark.parametrize("unit", ["a@", "1 ", "0:", "+1", "(", "-----BEGIN PRIVATE KEY-----", "password='", "A1", "1."])
def test_the_worst_texts_take_linear_time(unit: str) -> None:
    def seconds(num_bytes: int) -> float:
        text = (unit * num_bytes)[:num_bytes].encode()
        started = time.process_time()
        find(text)
        return time.process_time() - started

    seconds(1000)
    assert seconds(200_000) < 2.0


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="the shared data sets are not here")
def test_recall_and_precision_on_labelled_sentences() -> None:
    for kind, recall, precision, number in score_personal():
        print(f"{kind:12} recall {recall:.3f} precision {precision:.3f} of {number}")
        assert recall >= 0.98
        assert precision >= 0.98
