"""Applications over HTTP: a typed route each, answered as the model that learned them would be assessed."""

import asyncio
import json
import math
import threading

import numpy as np
import pytest

from components.applications import APPLICATIONS
from components.core.examples import begin
from components.model.answering import Answerer
from components.model.decoding import load_weights
from components.serve.answers import Bell
from components.serve.applications import learn, learned_in, respond
from components.serve.batch import BatchAnswerer
from components.serve.engine import Engine
from components.serve.errors import Refusal
from components.tokenizer.codec import Codec
from tests.components.serve.conftest import TAUGHT
from tests.components.serve.test_bad_input import assert_refused
from tests.components.serve.world import NAME, FolderSource, publish, running, teach


def ask(server, name, body=None, **query):
    body = APPLICATIONS[name].example.model_dump(mode="json") if body is None else body
    return server.client.post(f"/v1/applications/{name}", json=body, params=query)


@pytest.fixture(scope="module")
def expected(made):
    """What the assessed model says, without a server: ``(name, request) -> prompt, answerer, codec``."""
    codec = Codec.load(made / "1" / "tokenizer")
    config, weights = load_weights(made / "1" / "finetuned" / "assistant")
    answerer = Answerer(config, weights, codec.end_of_text)

    def prompt(name):
        tokens = codec.encode(APPLICATIONS[name].ask(APPLICATIONS[name].example))
        return begin(tokens, codec.end_of_text, config.context_tokens // 2).tolist()

    return codec, answerer, prompt


def test_every_application_is_a_typed_route_and_stands_in_the_schema(server):
    schema = server.client.get("/openapi.json").json()
    for name, application in APPLICATIONS.items():
        route = schema["paths"][f"/v1/applications/{name}"]["post"]
        assert route["summary"] == application.sentence
        content = route["requestBody"]["content"]["application/json"]
        assert content["schema"]["$ref"].endswith(application.request.__name__)
        assert content["example"] == application.example.model_dump(mode="json")
        told = route["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        assert application.response.__name__ in told


def test_applications_are_listed_and_those_that_are_said_to_be_answered_are(server):
    def answered(**query):
        data = server.client.get("/v1/applications", params=query).json()["data"]
        assert {entry["id"] for entry in data} == set(APPLICATIONS)
        for entry in data:
            answer = ask(server, entry["id"], entry["example"], **query)
            assert answer.status_code == (200 if entry["answered"] else 404), answer.text
        return {entry["id"] for entry in data if entry["answered"]}

    assert answered() == answered(model="champion") == set(TAUGHT)
    assert answered(model=f"{NAME}@2") == {"grammar"}, "it learned nothing, but scores sentences as any language model"


def test_choosing_gives_the_probabilities_of_the_assessed_model(server, expected):
    codec, answerer, prompt = expected
    choices = [codec.encode(text).tolist() for text in TAUGHT["classify"]]
    chances = np.exp(answerer.score([prompt("classify")], [choices])[0])
    found = ask(server, "classify").json()
    shares = dict(zip(TAUGHT["classify"], (chances / chances.sum()).tolist(), strict=True))
    assert found["answer"]["probabilities"] == pytest.approx(shares)
    assert found["answer"]["label"] == found["text"] == max(shares, key=shares.get)
    assert [choice["text"] for choice in found["choices"]] == sorted(shares, key=shares.get, reverse=True)
    assert (found["application"], found["model"]) == ("classify", f"{NAME}@1")


def test_what_a_request_brings_to_choose_from_is_chosen_by_the_model_that_learned_it(server, expected):
    codec, answerer, _ = expected
    sentences = APPLICATIONS["grammar"].example.sentences
    found = ask(server, "grammar").json()
    assert found["answer"]["probabilities"] == pytest.approx(shares_of(answerer, codec, sentences))
    assert found["answer"]["sentence"] == found["text"] == found["choices"][0]["text"]
    several = ["The", "model", "reads", "model"]
    told = ask(server, "grammar", {"sentences": several}).json()["answer"]["probabilities"]
    assert told == pytest.approx(shares_of(answerer, codec, several[:3]))


def test_where_nothing_is_asked_in_words_a_version_that_learned_nothing_answers(server, made):
    codec = Codec.load(made / "2" / "tokenizer")
    answerer = Answerer(*load_weights(made / "2" / "model"), codec.end_of_text)
    found = ask(server, "grammar", model=f"{NAME}@2").json()
    expected = shares_of(answerer, codec, APPLICATIONS["grammar"].example.sentences)
    assert found["answer"]["probabilities"] == pytest.approx(expected)
    assert found["model"] == f"{NAME}@2"


def shares_of(answerer, codec, sentences):
    """The probabilities of sentences beside each other, each as a text of its own."""
    (scores,) = answerer.score([[codec.end_of_text]], [[codec.encode(text).tolist() for text in sentences]])
    chances = np.exp(scores - scores.max())
    return dict(zip(sentences, (chances / chances.sum()).tolist(), strict=True))


def test_a_choice_that_does_not_fit_the_context_is_refused_and_so_it_is_in_a_batch(server, made):
    rows = [APPLICATIONS["grammar"].example.model_dump(), {"sentences": ["a", "Q " * 9000]}, {"sentences": ["a"]}]
    assert_refused(ask(server, "grammar", rows[1]), 400, "longest choice", "context_length_exceeded")
    source = FolderSource(made)
    answerer = BatchAnswerer(source.open(source.list()[-1]), "grammar")
    answer, *others = answerer.answer(rows)
    answerer.close()
    told = ask(server, "grammar").json()["answer"]["probabilities"]
    assert json.loads(answer.answer)["probabilities"] == pytest.approx(told)
    assert [other.answer for other in others] == [None, None]
    assert "longest choice" in others[0].error
    assert "sentences" in others[1].error


def test_what_nobody_waits_for_any_more_keeps_its_place_and_no_more_than_two_choose_at_once(made):
    (learned,) = [one for one in learned_in(made / "1" / "finetuned") if one.asked.application == "grammar"]
    engine = Engine(*load_weights(learned.model), num_slots=1, wake=lambda _tickets: None)
    skill = learn(learned, Codec.load(made / "1" / "tokenizer"), engine)
    long = skill.application.request(sentences=[f"{word} " + "Q " * 7000 for word in ("The", "A", "Some", "One")])

    async def leave_five_times():
        bell = Bell(asyncio.get_running_loop())
        for _ in range(5):
            with pytest.raises(Refusal, match="longer than this server allows") as caught:
                await respond(skill, long, bell, 0.01)
            assert caught.value.status_code == 504
        began = [thread for thread in threading.enumerate() if thread.name == "aside"]
        found = await respond(skill, skill.application.example, bell, 60)
        return len(began), found["text"]

    num_threads, text = asyncio.run(leave_five_times())
    engine.close()
    assert num_threads == 2
    assert text in skill.application.example.sentences


def test_ranking_gives_the_likeliest_of_a_catalogue(server):
    found = ask(server, "recommend").json()
    assert len(found["answer"]["items"]) == 10
    assert set(found["answer"]["items"]) <= set(TAUGHT["recommend"])
    chances = found["answer"]["probabilities"]
    assert chances == sorted(chances, reverse=True)
    chosen = found["answer"]["items"][:3]
    others = ask(server, "recommend", {"history": chosen}).json()["answer"]["items"]
    assert len(others) == 10
    assert not set(others) & set(chosen)


def test_writing_gives_the_likeliest_tokens_with_what_else_they_could_have_been(server, expected):
    codec, answerer, prompt = expected
    most = APPLICATIONS["summarise"].max_answer_tokens
    tokens = answerer.write([prompt("summarise")], most)[0]
    found = ask(server, "summarise").json()
    assert found["text"] == codec.decode(tokens)
    assert found["answer"] == {"summary": found["text"].strip()}
    assert found["usage"]["completion_tokens"] == len(tokens) == len(found["tokens"])
    for token in found["tokens"]:
        assert math.isclose(token["probability"], token["others"][0]["probability"])
        assert len(token["others"]) == 5


def test_a_version_that_learned_to_chat_chats_as_it_learned_and_another_as_a_transcript(server):
    messages = APPLICATIONS["chat"].example.model_dump(mode="json")["messages"]
    told = ask(server, "chat").json()

    def chat(model):
        body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": len(told["tokens"])}
        return server.client.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"]

    assert chat(NAME) == told["text"]
    assert chat(f"{NAME}@2") != told["text"]


def test_an_application_follows_its_own_champion_where_it_has_one(versions, tmp_path):
    teach(versions, 2, {"summarise": []})
    publish(versions, {1: ["champion"], 2: ["champion-summarise"]})
    with running(versions, tmp_path / "log", num_slots=2) as server:
        server.wait_ready()
        listed = server.client.get("/v1/applications").json()["data"]
        assert {entry["id"]: entry["model"] for entry in listed if entry["answered"]} == {
            name: f"{NAME}@{2 if name == 'summarise' else 1}" for name in TAUGHT
        }
        assert ask(server, "summarise").json()["model"] == ask(server, "summarise", model=NAME).json()["model"]
        assert ask(server, "summarise").json()["model"] == f"{NAME}@2"
        assert ask(server, "summarise", model=f"{NAME}@1").json()["model"] == f"{NAME}@1"
        assert ask(server, "classify").json()["model"] == f"{NAME}@1"


@pytest.mark.parametrize(
    ("name", "body", "query", "status", "told"),
    [
        ("classify", {}, {}, 400, "text: Field required"),
        ("classify", {"text": ""}, {}, 400, "text"),
        ("classify", {"text": 5}, {}, 400, "text"),
        ("classify", {"text": "a", "extra": 1}, {}, 400, "extra"),
        ("classify", [], {}, 400, "body"),
        ("classify", {"text": "a"}, {"model": "other"}, 404, "does not exist"),
        ("classify", {"text": "a"}, {"model": f"{NAME}@2"}, 404, "has not learned to classify"),
        ("translate", {"text": "a", "to": "de"}, {}, 404, "has not learned to translate"),
        ("nothing", {"text": "a"}, {}, 404, "nothing at this path"),
        ("chat", {"messages": [{"role": "assistant", "content": "a"}]}, {}, 400, "messages"),
        ("recommend", {"history": ["a"] * 2000}, {}, 400, "history"),
    ],
    ids=str,
)
def test_what_an_application_cannot_answer_is_refused(server, name, body, query, status, told):
    assert_refused(ask(server, name, body, **query), status, told)


def test_a_chat_that_waits_for_nobody_is_refused(server):
    body = {"model": NAME, "messages": [{"role": "assistant", "content": "a"}]}
    assert_refused(server.client.post("/v1/chat/completions", json=body), 400, "messages")


def test_half_a_character_is_refused_and_a_long_text_is_shortened(server):
    content = b'{"text": "\\ud800"}'
    headers = {"content-type": "application/json"}
    assert_refused(server.client.post("/v1/applications/classify", content=content, headers=headers), 400)
    assert ask(server, "classify", {"text": "word " * 9000}).status_code == 200
