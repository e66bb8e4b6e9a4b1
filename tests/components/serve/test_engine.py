"""The lanes without HTTP: who waits is served, who leaves makes room, and what breaks is heard of."""

import threading

import pytest

from components.model.decoding import Choice, load_weights
from components.serve import engine as engine_module
from components.serve.batch import BatchOptions, BatchWriter
from components.serve.engine import Engine, Order
from components.serve.versions import Opened


@pytest.fixture
def engine(made):
    news = threading.Event()
    engine = Engine(*load_weights(made / "1" / "model"), num_slots=2, wake=lambda _tickets: news.set())
    engine.news = news
    yield engine
    engine.close()


def finish(engine, ticket):
    """Wait for the end of a text; its tokens and how it ended."""
    while not (ticket.inbox and isinstance(ticket.inbox[-1], str)):
        engine.news.wait(30)
        engine.news.clear()
    return [token.number for token in list(ticket.inbox)[:-1]], ticket.inbox[-1]


def order(prompt, num_tokens=20, seed=1, stop_token=None):
    return Order(prompt, Choice(temperature=2.0), num_tokens, seed, stop_token)


def test_more_orders_than_slots_are_all_served_and_equal_orders_alike(engine):
    alone = finish(engine, engine.submit(order([1, 2, 3])))
    tickets = [engine.submit(order([1, 2, 3] if i % 3 == 0 else [i] * (i + 1), 10 + i)) for i in range(12)]
    found = [finish(engine, ticket) for ticket in tickets]
    assert [len(tokens) for tokens, _ in found] == [10 + i for i in range(12)]
    assert found[9][0][:19] == found[6][0][:16] + found[9][0][16:19] == alone[0][:19]
    assert engine.num_busy == engine.num_waiting == 0


def test_a_stop_token_ends_a_text_and_is_left_out(engine):
    tokens, _ = finish(engine, engine.submit(order([5], 30)))
    assert finish(engine, engine.submit(order([5], 30, stop_token=tokens[10]))) == (
        tokens[: tokens.index(tokens[10])], "stop",
    )  # fmt: skip


def test_who_leaves_makes_room_for_who_waits(engine):
    endless = [engine.submit(order([i], 16_000)) for i in range(4)]
    waiting = engine.submit(order([7], 5))
    for ticket in endless:
        ticket.cancel()
    assert len(finish(engine, waiting)[0]) == 5
    assert not any("length" in ticket.inbox for ticket in endless)


def test_a_lane_that_fails_says_so_and_serves_the_next(engine, monkeypatch):
    def fail(*_arguments):
        raise MemoryError("planted")

    monkeypatch.setattr(engine_module, "_take", fail)
    assert finish(engine, engine.submit(order([1])))[1] == "error"
    monkeypatch.undo()
    assert finish(engine, engine.submit(order([1])))[1] == "length"
    assert engine.num_busy == 0


def test_a_table_is_written_alike_however_it_is_cut(made):
    opened = Opened(made / "1" / "model", made / "1" / "tokenizer", "", b"", {})
    writer, options = BatchWriter(opened, num_slots=3), BatchOptions(num_tokens=9, seed=4)
    prompts = ["The model", "", "模型", "The model", "a " * 20_000]
    whole = writer.write(prompts, options, 10)
    assert whole == writer.write(prompts[:2], options, 10) + writer.write(prompts[2:], options, 12)
    assert whole[0].text != whole[3].text
    assert (whole[4].text, whole[4].reason, whole[4].completion_tokens) == (None, "too_long", 0)
    writer.close()
