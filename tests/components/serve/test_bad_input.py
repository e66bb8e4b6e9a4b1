"""Whatever is sent: the right status, a body in OpenAI's form, nothing that crashes, nothing that leaks."""

import concurrent.futures
import json
import socket
import threading
import time

import httpx
import openai
import pytest

from tests.components.serve.conftest import TAUGHT
from tests.components.serve.test_api import LONG
from tests.components.serve.world import NAME, make_version, publish, running

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hi"}]
JSON = {"content-type": "application/json"}


def assert_refused(answer, status, told="", code=None):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert told in error["message"]
    assert code is None or error["code"] == code
    assert "Traceback" not in answer.text
    assert answer.headers["x-request-id"]


@pytest.fixture(autouse=True)
def nothing_is_left(server):
    """After each test the server answers, and no slot is taken."""
    yield
    assert server.complete(max_tokens=2).status_code == 200
    server.wait_until(lambda: server.metric("pedigree_slots_busy") + server.metric("pedigree_waiting") == 0)


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        (COMPLETIONS, {"model": NAME, "prompt": []}, "prompt"),
        (COMPLETIONS, {"model": NAME, "prompt": [[]]}, "prompt"),
        (COMPLETIONS, {"model": NAME, "prompt": 5}, "prompt"),
        (COMPLETIONS, {"model": NAME, "prompt": ["a", 1]}, "prompt"),
        (COMPLETIONS, {"model": NAME, "prompt": [-1]}, "numbers from 0 to 299"),
        (COMPLETIONS, {"model": NAME, "prompt": [300]}, "numbers from 0 to 299"),
        (COMPLETIONS, {"model": NAME, "prompt": [10**30]}, "numbers from 0 to 299"),
        (COMPLETIONS, {"prompt": "a"}, "model: Field required"),
        (COMPLETIONS, {"model": "", "prompt": "a"}, "model"),
        (COMPLETIONS, {"model": NAME, "max_tokens": 0}, "max_tokens"),
        (COMPLETIONS, {"model": NAME, "max_tokens": "5"}, "max_tokens"),
        (COMPLETIONS, {"model": NAME, "max_tokens": 1.5}, "max_tokens"),
        (COMPLETIONS, {"model": NAME, "max_tokens": True}, "max_tokens"),
        (COMPLETIONS, {"model": NAME, "temperature": -0.1}, "temperature"),
        (COMPLETIONS, {"model": NAME, "temperature": "hot"}, "temperature"),
        (COMPLETIONS, {"model": NAME, "top_p": 1.01}, "top_p"),
        (COMPLETIONS, {"model": NAME, "n": 17}, "n"),
        (COMPLETIONS, {"model": NAME, "stop": [""]}, "stop"),
        (COMPLETIONS, {"model": NAME, "stop": [str(i) for i in range(40_000)]}, "stop"),
        (COMPLETIONS, {"model": NAME, "seed": 1 << 70}, "seed"),
        (COMPLETIONS, {"model": NAME, "logprobs": 21}, "logprobs"),
        (COMPLETIONS, {"model": NAME, "stream": "yes"}, "stream"),
        (COMPLETIONS, {"model": NAME, "tempreature": 1}, "tempreature"),
        (COMPLETIONS, {"model": NAME, "echo": True}, "echo"),
        (COMPLETIONS, {"model": NAME, "frequency_penalty": 1}, "frequency_penalty"),
        (COMPLETIONS, [], "the body"),
        (COMPLETIONS, "text", "the body"),
        (COMPLETIONS, None, "the body"),
        (CHAT, {"model": NAME, "messages": []}, "messages"),
        (CHAT, {"model": NAME, "messages": "hi"}, "messages"),
        (CHAT, {"model": NAME, "messages": [{"role": "robot", "content": "a"}]}, "messages"),
        (CHAT, {"model": NAME, "messages": [{"role": "user", "content": None}]}, "messages"),
        (CHAT, {"model": NAME, "messages": HELLO, "tools": []}, "tools"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_body_that_says_what_it_must_not_is_refused(server, path, body, told):
    assert_refused(server.client.post(path, json=body), 400, told)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"\\ud800": 1}', b"nonsense", b"\xff\xfe\x00",
     b'{"model": "tiny", "prompt": "\xff"}', b'{"model": "tiny\\ud800"}',
     b'{"model": "tiny", "prompt": "\\ud800"}', b"[" * 100_000, b'{"model": "tiny", "temperature": NaN}',
     b'{"model": "tiny", "seed": ' + b"9" * 10_000 + b"}", b'{"model": "tiny", "temperature": 1e999}'],
    ids=lambda content: repr(content[:30]),
)  # fmt: skip
def test_a_body_that_is_no_json_in_utf_8_is_refused(server, content):
    assert_refused(server.client.post(COMPLETIONS, content=content, headers=JSON), 400)


def test_a_body_that_does_not_say_that_it_is_json_is_refused(server):
    body = json.dumps({"model": NAME, "prompt": "a"})
    assert_refused(server.client.post(COMPLETIONS, content=body, headers={"content-type": "text/plain"}), 400)


def test_a_prompt_that_does_not_fit_is_refused_and_one_that_just_fits_is_not(server):
    over = server.complete([1] * 16_380, max_tokens=5)
    assert_refused(over, 400, "maximum context length is 16384 tokens", "context_length_exceeded")
    assert_refused(server.complete([1] * 16_384, max_tokens=1), 400, code="context_length_exceeded")
    assert_refused(server.complete("word " * 100_000, max_tokens=1), 400, code="context_length_exceeded")
    chat = {"model": f"{NAME}@2", "messages": [{"role": "user", "content": "word " * 100_000}]}
    assert_refused(server.client.post(CHAT, json=chat), 400, code="context_length_exceeded")
    assert server.complete([1] * 2000, max_tokens=1).json()["usage"]["prompt_tokens"] == 2000


def test_an_empty_prompt_is_the_beginning_of_a_document(server):
    assert server.complete("").json()["usage"]["prompt_tokens"] == 1


@pytest.mark.parametrize("name", ["other", "tiny@9", "tiny@", "tiny@champio", "../tiny", "tiny/1", "😀" * 50])
def test_an_unknown_model_is_refused(server, name):
    assert_refused(server.client.post(COMPLETIONS, json={"model": name, "prompt": "a"}), 404, code="model_not_found")


@pytest.mark.parametrize(
    "path",
    ["/v1/nothing", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/versions/..%2f..%2fetc%2fpasswd", "/docs",
     "//etc/passwd", "/versions/tiny@9", "/v1/models/%00", "/v1/models/..", "/static/../serve/app.py",
     "/v1/models/tiny%401%2f.."],
)  # fmt: skip
def test_a_path_that_leads_nowhere_is_refused(server, path):
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    head, _, body = server.raw(request).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404")
    assert json.loads(body)["error"]["message"]
    assert b"root:" not in body


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example:1", "", "[::1", "a b"]
)
def test_a_request_for_another_host_is_refused(server, host):
    """A page of somebody else whose name was made to point here sends its own name (DNS rebinding)."""
    head = server.raw(f"GET /v1/models HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert head.startswith((b"HTTP/1.1 421", b"HTTP/1.1 400"))
    assert b"tiny" not in head


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "192.168.1.7:8000", "[::1]:8000", "mine.example"]
)
def test_a_request_for_this_machine_by_number_or_an_allowed_name_is_answered(server, host):
    head = server.raw(f"GET /v1/models HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert head.startswith(b"HTTP/1.1 200")


def test_another_method_is_refused(server):
    assert_refused(server.client.get(COMPLETIONS), 405)
    assert_refused(server.client.put("/healthz"), 405)


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
     b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
     b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n"],
    ids=lambda data: repr(data[:60]),
)  # fmt: skip
def test_what_is_no_http_is_refused(server, data):
    head, _, body = server.raw(data).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}


def test_a_body_of_10_mb_is_refused_by_its_length_and_while_it_comes(server):
    content = json.dumps({"model": NAME, "prompt": "a" * 10_000_000}).encode()
    assert_refused(server.client.post(COMPLETIONS, content=content, headers=JSON), 413, code="request_too_large")
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 17)
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{", b"408"),
        (b"POST /v1/compl", b""),
        (b"", b""),
    ],
)  # fmt: skip
def test_a_client_that_is_too_slow_is_let_go(server, data, status):
    began = time.monotonic()
    assert status in server.raw(data)[:15]
    assert 1.5 < time.monotonic() - began < 10


def test_a_client_that_is_too_slow_with_its_second_request_is_let_go(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while b"alive" not in answer:
            answer += connection.recv(1000)
        for byte in b"GET /":
            connection.sendall(bytes([byte]))
            time.sleep(0.2)
        assert connection.recv(1000) == b""


def test_a_client_that_does_not_read_is_let_go(versions, tmp_path):
    body = {"model": NAME, "prompt": "a", "max_tokens": 2000, "logprobs": 20, "n": 16}
    with running(versions, tmp_path / "log", timeout_seconds=3.0) as server, socket.socket() as connection:
        ask_and_do_not_read(connection, server.wait_ready(), body)
        port = f":{connection.getsockname()[1]:04X}"

        def is_held():
            lines = (server.process_folder() / "net/tcp").read_text().splitlines()
            return any(line.split()[2].endswith(port) and line.split()[3] == "01" for line in lines)

        server.wait_until(lambda: any(line["route"] == COMPLETIONS for line in server.requests))
        assert is_held()
        server.wait_until(lambda: not is_held(), seconds=15)


def test_a_client_that_leaves_mid_stream_frees_its_slot(server):
    body = json.dumps(
        {"model": NAME, "prompt": "a", "max_tokens": LONG, "stream": True, "seed": 3, "top_k": 1}
    ).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        server.wait_until(lambda: server.metric("pedigree_slots_busy") == 1)
    server.wait_until(lambda: server.metric("pedigree_slots_busy") == 0, seconds=2)
    server.wait_until(lambda: server.requests[-1]["route"] == COMPLETIONS or server.requests[-1]["route"] == "/metrics")
    told = [line for line in server.requests if line["route"] == COMPLETIONS][-1]
    assert told["completion_tokens"] < LONG


def test_a_client_that_leaves_before_a_whole_answer_frees_its_slot(server):
    body = json.dumps({"model": NAME, "prompt": "a", "max_tokens": LONG, "seed": 3, "top_k": 1}).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        server.wait_until(lambda: server.metric("pedigree_slots_busy") == 1)
    server.wait_until(lambda: server.metric("pedigree_slots_busy") == 0, seconds=2)


def test_a_thousand_connections_at_once_are_all_answered(server):
    request = (
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    )
    body = json.dumps({"model": NAME, "prompt": "The", "max_tokens": 2, "seed": 1}).encode()
    request += f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    opened = [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(1000)]
    for connection in opened:
        connection.sendall(request)
    heads = []
    for connection in opened:
        heads.append(connection.recv(12))
        connection.close()
    assert heads == [b"HTTP/1.1 200"] * 1000


def test_scripts_in_prompts_come_back_as_json_and_nothing_else(server):
    answer = server.complete("<script>alert(1)</script>", max_tokens=3)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_keys_shares_and_lines_are_kept(versions, tmp_path):
    options = {"keys": ["secret-key-1", "key-2"], "requests_per_minute": 6, "num_slots": 1, "most_waiting": 1}
    with running(versions, tmp_path / "log", **options) as server:
        server.wait_ready()  # needs no key
        assert server.client.get("/").status_code == server.client.get("/metrics").status_code == 200
        for headers in ({}, {"authorization": "Bearer secret"}, {"authorization": "Basic secret-key-1"},
                        {"authorization": b"Bearer \xff"}):  # fmt: skip
            assert_refused(server.client.get("/v1/models", headers=headers), 401, code="invalid_api_key")
        first, second = ({"authorization": f"Bearer {key}"} for key in options["keys"])
        statuses = [server.client.get("/v1/models", headers=first).status_code for _ in range(7)]
        assert statuses == [200] * 6 + [429]
        refused = server.client.get("/v1/models", headers=first)
        assert_refused(refused, 429, code="rate_limit_exceeded")
        assert 1 <= int(refused.headers["retry-after"]) <= 10
        body = {"model": NAME, "prompt": "a", "max_tokens": LONG, "seed": 3, "top_k": 1}
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(server.client.post, COMPLETIONS, json=body, headers=second) for _ in range(2)]
            server.wait_until(lambda: server.metric("pedigree_slots_busy") + server.metric("pedigree_waiting") == 2)
            assert_refused(server.client.post(COMPLETIONS, json=body, headers=second), 503, code="overloaded")
            assert [future.result().status_code for future in futures] == [200, 200]
        assert "secret-key" not in server.log


def test_without_keys_each_address_has_its_share(versions, tmp_path):
    with running(versions, tmp_path / "log", requests_per_minute=2) as server:

        def statuses(address):
            with httpx.Client(transport=httpx.HTTPTransport(local_address=address)) as client:
                return [client.get(f"{server.url}/v1/models").status_code for _ in range(3)]

        assert statuses("127.0.0.1") == statuses("127.0.0.2") == [200, 200, 429]


def test_an_answer_that_takes_too_long_is_ended(versions, tmp_path):
    with running(versions, tmp_path / "log", timeout_seconds=0.05) as server:
        server.wait_ready()
        assert_refused(server.complete("a", max_tokens=LONG, top_k=1, seed=3), 504, code="timeout")
        stream = server.complete("a", max_tokens=LONG, top_k=1, seed=3, stream=True).text
        assert '"code": "timeout"' in stream
        assert "[DONE]" not in stream
        server.wait_until(lambda: server.metric("pedigree_slots_busy") == 0)


def test_texts_stand_in_the_log_only_when_asked_for(versions, tmp_path):
    with running(versions, tmp_path / "log", log_text=True) as server:
        server.wait_ready().complete("a wanted sentence", max_tokens=3)
        server.wait_until(lambda: server.requests[-1]["route"] == COMPLETIONS)
        assert server.requests[-1]["request"]["prompt"] == "a wanted sentence"
        assert len(server.requests[-1]["answer"]) == 1
        route = "/v1/applications/classify"
        server.client.post(route, json={"text": "a wanted document"})
        server.wait_until(lambda: server.requests[-1]["route"] == route)
        assert server.requests[-1]["request"] == {"text": "a wanted document"}
        assert server.requests[-1]["answer"]["label"] in TAUGHT["classify"]


def test_an_address_that_is_taken_is_told(server, made):
    from components.core.errors import WorkspaceError
    from components.serve import ServeConfig
    from components.serve.server import _listen

    with pytest.raises(WorkspaceError, match="free address"):
        _listen(ServeConfig(port=server.port))


def test_a_version_of_another_size_has_its_own_limits(versions, tmp_path):
    from components.model import ModelConfig

    sizes = ModelConfig(
        vocabulary_size=290, context_tokens=8, width=12, num_layers=2, num_heads=3, feed_forward_width=5
    )
    make_version(versions, 3, sizes=sizes)
    publish(versions, {3: ["champion"]})
    with running(versions, tmp_path / "log") as server:
        server.wait_ready()
        assert_refused(server.complete("The", max_tokens=8), 400, code="context_length_exceeded")
        assert server.complete("The", max_tokens=2, temperature=0).status_code == 200


def test_running_answers_are_finished_before_the_end_and_new_ones_are_turned_away(versions, tmp_path):
    with running(versions, tmp_path / "log") as server:
        server.wait_ready()
        answers = []
        body = {"max_tokens": LONG, "top_k": 1, "seed": 3}
        thread = threading.Thread(target=lambda: answers.append(server.complete("a", **body)))
        thread.start()
        server.wait_until(lambda: server.metric("pedigree_slots_busy") == 1)
        server.process.terminate()
        server.wait_until(lambda: is_turned_away(server))
        assert not answers
        thread.join()
        assert answers[0].status_code == 200
        assert answers[0].json()["usage"]["completion_tokens"] == LONG
        assert server.process.wait(timeout=60) == 0


def is_turned_away(server):
    try:
        return server.client.get("/healthz").status_code != 200
    except httpx.TransportError:
        return True


def test_what_runs_on_past_the_end_is_told_so_and_the_process_ends_in_time(versions, tmp_path):
    endless = {"max_tokens": LONG, "temperature": 0, "n": 16}
    with running(versions, tmp_path / "log", drain_seconds=0.5) as server, socket.socket() as deaf:
        server.wait_ready()
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0)
        stream = client.completions.create(model=NAME, prompt="a", stream=True, **endless)
        next(stream)
        ask_and_do_not_read(deaf, server, {"model": NAME, "prompt": "a", "stream": True, "logprobs": 20, **endless})
        slow = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        slow.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            whole = pool.submit(server.complete, "a", **endless)
            server.wait_until(lambda: server.metric("pedigree_slots_busy") + server.metric("pedigree_waiting") == 48)
            began = time.monotonic()
            server.process.terminate()
            with pytest.raises(openai.APIError, match="about to end"):
                list(stream)
            assert_refused(whole.result(), 503, "about to end", "not_ready")
        assert 0.5 <= time.monotonic() - began < 5  # on a busy machine; they would take much longer
        assert b"503" in slow.recv(1000)[:15]
        slow.close()
        assert server.process.wait(timeout=10) == 0


def ask_and_do_not_read(connection, server, body):
    content = json.dumps(body).encode()
    head = f"POST {COMPLETIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(head.encode() + f"Content-Length: {len(content)}\r\n\r\n".encode() + content)
