"""The API as clients use it: the official client unchanged, and answers that nothing beside them can change."""

import concurrent.futures
import json

import openai
import pytest

from tests.components.serve.world import NAME

LONG = 12_000  # tokens of a text that takes long enough to be interrupted


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0)


def test_the_official_client_lists_and_retrieves_models(client):
    listed = {model.id: model for model in client.models.list()}
    assert set(listed) == {NAME, "champion", "challenger", f"{NAME}@1", f"{NAME}@2"}
    assert listed[NAME].version == f"{NAME}@1"
    retrieved = client.models.retrieve(f"{NAME}@2")
    assert retrieved.card.startswith("# tiny@2")
    assert retrieved.pedigree["predicate"]


def test_an_alias_is_a_name_of_a_model(client):
    for alias, version in (("champion", 1), ("challenger", 2)):
        answer = client.completions.create(model=alias, prompt="a", max_tokens=1)
        assert answer.model == f"{NAME}@{version}"
        assert client.models.retrieve(alias).version == f"{NAME}@{version}"


def test_the_official_client_completes(client):
    answer = client.completions.create(model=NAME, prompt="The model", max_tokens=9, seed=5, logprobs=3, n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.usage.completion_tokens == 18
    assert answer.model == f"{NAME}@1"
    told = answer.choices[0].logprobs
    assert len(told.tokens) == len(told.token_logprobs) == len(told.text_offset) == 9
    assert all(value <= 0 for value in told.token_logprobs)
    assert all(1 <= len(top) <= 3 for top in told.top_logprobs)
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].text != answer.choices[1].text


def test_the_official_client_chats_and_streams(client):
    question = {"model": NAME, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 30, "seed": 7}
    whole = client.chat.completions.create(**question, logprobs=True, top_logprobs=2)
    chunks = list(client.chat.completions.create(**question, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    entries = whole.choices[0].logprobs.content
    assert len(entries) == whole.usage.completion_tokens
    assert all(len(entry.top_logprobs) == 2 for entry in entries)
    joined = bytes(byte for entry in entries for byte in entry.bytes)
    assert joined.decode(errors="replace") == whole.choices[0].message.content


def test_our_own_options_pass_through_the_official_client(client):
    def text(**extra):
        answer = client.completions.create(
            model=NAME, prompt="a", max_tokens=40, seed=2, temperature=2, extra_body=extra
        )
        return answer.choices[0].text

    assert text(top_k=1) == text(top_k=1, repetition_penalty=1) == text(top_p=0.0) != text()
    assert text(top_k=1, repetition_penalty=10) != text(top_k=1)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda c: c.completions.create(model="other", prompt="a"), openai.NotFoundError),
        (lambda c: c.completions.create(model=NAME, prompt="a", temperature=9), openai.BadRequestError),
        (lambda c: c.chat.completions.create(model=NAME, messages=[]), openai.BadRequestError),
        (lambda c: c.completions.create(model=NAME, prompt="a", max_tokens=20_000), openai.BadRequestError),
    ],
)
def test_the_official_client_understands_refusals(client, call, kind):
    with pytest.raises(kind) as caught:
        call(client)
    assert caught.value.body["message"]


def test_a_text_is_the_same_whole_streamed_and_among_others(server):
    alone = [server.complete(max_tokens=60, seed=seed).json()["choices"][0]["text"] for seed in range(6)]
    streamed = [stream_text(server, max_tokens=60, seed=seed) for seed in range(3)]
    assert streamed == alone[:3]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        noise = [pool.submit(server.complete, "x " * (7 * i + 1), max_tokens=300, seed=90 + i) for i in range(12)]
        again = list(pool.map(lambda seed: server.complete(max_tokens=60, seed=seed).json(), range(6)))
        assert all(future.result().status_code == 200 for future in noise)
    assert [answer["choices"][0]["text"] for answer in again] == alone
    assert len(set(alone)) == 6


def stream_text(server, **options):
    text = ""
    with server.client.stream("POST", "/v1/completions", json={
        "model": NAME, "prompt": "The model", "stream": True, **options}) as answer:  # fmt: skip
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                text += json.loads(line.removeprefix("data: "))["choices"][0]["text"]
    return text


def test_a_stop_string_ends_a_text_before_it(server):
    whole = server.complete(max_tokens=80).json()["choices"][0]["text"]
    stop = whole[20:23]
    answer = server.complete(max_tokens=80, stop=[stop, "never this"]).json()["choices"][0]
    assert answer["finish_reason"] == "stop"
    assert answer["text"] == whole[: whole.find(stop)]


def test_prompts_may_be_texts_or_tokens_one_or_several(server):
    def first(prompt):
        return server.complete(prompt, temperature=0, max_tokens=5).json()["choices"]

    text = first("ab")[0]["text"]
    assert first(["ab", "cd"])[0]["text"] == text
    assert len(first([[1, 2], [3]])) == 2
    assert first([1, 2])[0]["text"] == first([[1, 2]])[0]["text"]
    assert first("")[0]["text"]


def test_figures_for_prometheus_tell_of_requests_and_slots(server):
    server.complete(max_tokens=3)
    text = server.client.get("/metrics").text
    assert 'pedigree_requests_total{route="/v1/completions",status="200"}' in text
    assert 'pedigree_version{digest="' in text
    assert server.metric("pedigree_slots") in (16, 24)  # of each model of each version in memory
    assert server.metric("pedigree_slots_busy") == 0


PRIVATE = {
    "/v1/completions": {"model": NAME, "prompt": "a private sentence", "max_tokens": 5},
    "/v1/chat/completions": {
        "model": NAME,
        "messages": [{"role": "user", "content": "a private question"}],
        "max_tokens": 2,
    },
    "/v1/applications/classify": {"text": "a private document"},
    "/v1/applications/summarise": {"text": "a private document"},
}


def test_the_log_tells_of_requests_without_their_text(server):
    answers = [server.client.post(path, json=said).raise_for_status() for path, said in PRIVATE.items()]
    asked = [answer.headers["x-request-id"] for answer in answers]
    # A line is written once the answer is on its way.
    server.wait_until(lambda: {*asked} <= {line["request_id"] for line in server.requests})
    assert "private" not in server.log
    line = next(line for line in server.requests if line["request_id"] == asked[0])
    assert (line["route"], line["status"], line["completion_tokens"]) == ("/v1/completions", 200, 5)
    assert line["first_token_seconds"] <= line["seconds"]
