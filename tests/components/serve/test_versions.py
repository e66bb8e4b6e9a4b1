"""The followed version changes under load, breaks, disappears: no request fails that need not, no answer is mixed."""

import json
import os
import threading
import time

import pytest

from tests.components.serve.test_bad_input import assert_refused
from tests.components.serve.world import LIST, NAME, make_version, publish, running


def texts_by_version(server):
    """The text that each version writes after the same prompt and seed."""
    return {
        f"{NAME}@{number}": server.client.post(
            "/v1/completions", json={"model": f"{NAME}@{number}", "prompt": "The", "max_tokens": 200, "seed": 4}
        ).json()["choices"][0]["text"]
        for number in (1, 2)
    }  # fmt: skip


def ask(server, stream):
    """One answer as (models named in it, fingerprints named in it, text)."""
    body = {"model": NAME, "prompt": "The", "max_tokens": 200, "seed": 4, "stream": stream}
    answer = server.client.post("/v1/completions", json=body)
    assert answer.status_code == 200, answer.text
    if not stream:
        values = [answer.json()]
    else:
        assert answer.text.endswith("data: [DONE]\n\n")
        values = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    text = "".join(value["choices"][0]["text"] for value in values)
    return {value["model"] for value in values}, {value["system_fingerprint"] for value in values}, text


def test_promotions_and_rollbacks_under_load_lose_no_request_and_mix_no_answer(versions, tmp_path):
    with running(versions, tmp_path / "log", poll_seconds=0.1, num_slots=8) as server:
        expected = texts_by_version(server.wait_ready())
        assert len(set(expected.values())) == 2
        answers, end = [], time.monotonic() + 5

        def load(stream):
            while time.monotonic() < end:
                answers.append(ask(server, stream))

        threads = [threading.Thread(target=load, args=(i % 2 == 0,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for champion in (2, 1, 2):
            time.sleep(1.2)
            publish(versions, {1: [], 2: [], champion: ["champion"]})
        for thread in threads:
            thread.join()
        for models, fingerprints, text in answers:
            assert len(models) == len(fingerprints) == 1
            assert text == expected[next(iter(models))]
        assert {next(iter(models)) for models, _, _ in answers} == set(expected)
        assert len(answers) > 100
        assert sum(line["status"] != 200 for line in server.requests if line["route"] == "/v1/completions") == 0


def test_an_answer_that_runs_while_the_alias_moves_ends_on_its_version(versions, tmp_path):
    with running(versions, tmp_path / "log", poll_seconds=0.1, most_versions=1) as server:
        server.wait_ready()
        body = {"model": NAME, "prompt": "a", "max_tokens": 12_000, "top_k": 1, "seed": 3, "stream": True}
        with server.client.stream("POST", "/v1/completions", json=body) as answer:
            lines = answer.iter_lines()
            first = json.loads(next(line for line in lines if line.startswith("data: {"))[6:])
            publish(versions, {1: [], 2: ["champion"]})
            server.wait_until(lambda: '"event": "serving", "model": "tiny@2"' in server.log)
            assert server.complete(max_tokens=1).json()["model"] == "tiny@2"
            rest = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        assert {chunk["model"] for chunk in rest} == {first["model"]} == {"tiny@1"}
        assert rest[-1]["choices"][0]["finish_reason"] == "length"
        server.wait_until(lambda: 'model="tiny@1"' not in server.client.get("/metrics").text)


def damage(folder, number):
    """Change one byte in the middle of a version's weights."""
    path = folder / str(number) / "model" / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_version_whose_check_fails_is_never_loaded_and_the_old_one_goes_on(versions, tmp_path):
    damage(versions, 2)
    with running(versions, tmp_path / "log", poll_seconds=0.1) as server:
        server.wait_ready()
        asked = server.client.post("/v1/completions", json={"model": f"{NAME}@2", "prompt": "a"})
        assert_refused(asked, 503, "did not pass its check", "version_refused")
        assert str(versions) not in asked.text
        publish(versions, {1: [], 2: ["champion"]})
        server.wait_until(lambda: server.metric("pedigree_trouble") == 1)
        assert server.complete(max_tokens=2).json()["model"] == "tiny@1"
        ready = server.client.get("/readyz")
        assert ready.status_code == 200
        assert "weights.safetensors" in server.log
        make_version(versions, 3)
        publish(versions, {1: [], 2: [], 3: ["champion"]})
        server.wait_until(lambda: server.complete(max_tokens=2).json()["model"] == "tiny@3")
        assert server.metric("pedigree_trouble") == 0


def test_a_server_whose_only_version_is_damaged_says_that_it_is_not_ready(versions, tmp_path):
    damage(versions, 1)
    with running(versions, tmp_path / "log", poll_seconds=0.1) as server:
        server.wait_until(lambda: "weights.safetensors" in server.log)
        for asked in (server.client.get("/readyz"), server.complete(), server.client.get(f"/v1/models/{NAME}")):
            assert_refused(asked, 503, "No version can answer yet", "not_ready")
            assert str(versions) not in asked.text
        assert server.client.get("/healthz").status_code == 200


def test_a_registry_that_is_down_at_the_start_and_later_is_waited_for(versions, tmp_path):
    (versions / LIST).rename(versions / "hidden")
    with running(versions, tmp_path / "log", poll_seconds=0.1) as server:
        server.wait_until(lambda: '"event": "trouble"' in server.log)
        assert_refused(server.client.get("/readyz"), 503)
        assert_refused(server.client.get("/v1/models/tiny"), 503)
        assert_refused(server.complete(), 503)
        assert server.client.get("/v1/models").json()["data"] == []
        assert server.client.get("/").status_code == 200
        (versions / "hidden").rename(versions / LIST)
        server.wait_ready()
        assert server.complete(max_tokens=2).status_code == 200
        (versions / LIST).write_text("no json")
        server.wait_until(lambda: server.metric("pedigree_trouble") == 1)
        assert server.complete(max_tokens=2).status_code == 200
        assert server.client.get("/readyz").status_code == 200
        publish(versions, {1: [], 2: ["champion"]})
        server.wait_until(lambda: server.complete(max_tokens=2).json()["model"] == "tiny@2")


def hang(path):
    """Let whoever opens this file wait; what is written into it then is what they read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)


@pytest.mark.slow  # twice the five seconds after which it is told
def test_a_registry_that_never_answers_is_told_and_holds_up_nothing(versions, tmp_path):
    listed = (versions / LIST).read_text()
    hang(versions / LIST)
    with running(versions, tmp_path / "log", poll_seconds=0.1) as server:
        assert server.client.get("/healthz").status_code == 200
        assert_refused(server.client.get("/readyz"), 503, "No version can answer yet")
        server.wait_until(lambda: "the registry has not answered for 5 s" in server.log)
        assert_refused(server.complete(), 503, "No version can answer yet")
        (versions / LIST).write_text(listed)  # at last
        server.wait_ready()
        server.wait_until(lambda: server.log.count("the registry has not answered") == 2)
        for _ in range(3):
            assert server.complete(max_tokens=2).json()["model"] == f"{NAME}@1"
        assert server.client.get("/readyz").status_code == server.client.get("/v1/models").status_code == 200
        assert server.metric("pedigree_trouble") == 1
        server.process.terminate()
        assert server.process.wait(timeout=10) == 0


def test_a_version_that_never_loads_is_waited_for_no_longer_than_an_answer(versions, tmp_path):
    learned = versions / "2" / "finetuned" / "assistant" / "applications" / "chat.json"
    hang(learned)
    with running(versions, tmp_path / "log", timeout_seconds=1.0, poll_seconds=0.1) as server:
        server.wait_ready()
        asked = {"model": f"{NAME}@2", "prompt": "a", "max_tokens": 1}
        assert_refused(server.client.post("/v1/completions", json=asked), 504, "took longer to load", "timeout")
        classify, query = "/v1/applications/classify", {"model": f"{NAME}@2"}
        answer = server.client.post(classify, json={"text": "a"}, params=query)
        assert_refused(answer, 504, "took longer to load", "timeout")
        assert f'"event": "loading", "model": "{NAME}@2"' in server.log
        publish(versions, {1: [], 2: ["champion"]})
        assert server.complete(max_tokens=2).json()["model"] == f"{NAME}@1"
        learned.write_text("no json")
        server.wait_until(lambda: "what is asked in an application" in server.log)
        assert server.complete(max_tokens=2).json()["model"] == f"{NAME}@1"


def test_no_more_versions_stay_in_memory_than_allowed(versions, tmp_path):
    for number in range(3, 8):
        make_version(versions, number)
    publish(versions, {1: ["champion"], **{number: [] for number in range(2, 8)}})
    with running(versions, tmp_path / "log", most_versions=2, num_slots=2) as server:
        server.wait_ready()
        for number in (2, 3, 4, 5, 6, 7, 2):
            asked = {"model": f"{NAME}@{number}", "prompt": "a", "max_tokens": 1}
            assert server.client.post("/v1/completions", json=asked).json()["model"] == f"{NAME}@{number}"
        server.wait_until(lambda: server.client.get("/metrics").text.count("\npedigree_version{") == 2)
        assert server.complete(max_tokens=1).json()["model"] == "tiny@1"


@pytest.mark.parametrize("which", ["2", "challenger", "digest"])
def test_any_version_can_be_followed(versions, tmp_path, which):
    if which == "digest":
        which = json.loads((versions / LIST).read_bytes())[0]["digest"][:12]
    with running(versions, tmp_path / "log", which=which) as server:
        assert server.wait_ready().complete(max_tokens=1).json()["model"] == "tiny@2"


def test_a_challenger_answers_in_the_shadow_and_only_the_log_knows(versions, tmp_path):
    publish(versions, {1: ["champion"], 2: ["challenger"]})

    def shadows(server):
        lines = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == "shadow"]

    with running(versions, tmp_path / "log", shadow="challenger", poll_seconds=0.1) as server:
        expected = texts_by_version(server.wait_ready())
        for stream in (False, True):
            models, _, text = ask(server, stream)
            assert (models, text) == ({f"{NAME}@1"}, expected[f"{NAME}@1"])
        server.wait_until(lambda: len(shadows(server)) == 3)  # one of them asked for the version by its number
        for line in shadows(server):
            agreeing = next(i for i, pair in enumerate(zip(*expected.values(), strict=False)) if len(set(pair)) > 1)
            assert (line["model"], line["shadow"], line["outcome"]) == (f"{NAME}@1", f"{NAME}@2", "different")
            assert (line["agreeing_characters"], line["characters"]) == (agreeing, len(expected[f"{NAME}@1"]))
            assert line["shadow_characters"] == len(expected[f"{NAME}@2"])
        assert {line["request_id"] for line in shadows(server)} <= {line["request_id"] for line in server.requests}
        assert not [text for text in expected.values() if text[:20] in server.log]
        assert 'pedigree_shadow_total{outcome="different"} 3.0' in server.client.get("/metrics").text
        publish(versions, {1: [], 2: ["champion", "challenger"]})
        server.wait_until(lambda: ask(server, False)[0] == {f"{NAME}@2"})
        server.wait_until(lambda: shadows(server)[-1]["outcome"] == "same version")
