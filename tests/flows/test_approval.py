"""A promotion that waits for a person: paused in a real Prefect server, answered on its page or on the command line."""

import time
from pathlib import Path

import httpx
import pytest

from components.core.keys import believe, load_key
from components.registry import access, read_ledger_quickly
from components.registry.store import APPROVAL_VARIABLE
from tests.components.registry.conftest import code_once, empty_registry, quick_code, workspace  # noqa: F401
from tests.components.registry.test_registry import NAME, PROMOTE_CONFIG, promoted, registered
from tests.components.registry.world import make_world
from tests.flows.toys import Toy, make_toy

pytestmark = pytest.mark.slow
WAIT = "from flows.environment import prepare; prepare(); import flows.promote; raise SystemExit(flows.promote._ask())"


@pytest.fixture
def project(workspace, quick_code, monkeypatch):  # noqa: F811
    """A champion, two models that are better than it and the one before, and what proposes one by a rule of its own."""
    toy, believed = make_toy(workspace / "toy"), load_key()
    for name in ("dvc.yaml", ".dvc"):
        (toy.root / name).rename(workspace / name)
    (workspace / "params.yaml").write_text("register: {name: tiny}\n")
    believe(believed.public_key())
    worlds = [make_world(workspace / f"world{n}", seed=n, change=-0.2 * n) for n in range(3)]
    digests = [registered(workspace / "data/register", world) for world in worlds]
    promoted(workspace, worlds[0], digests[0])

    def propose(number, seed):
        with monkeypatch.context() as patch:
            patch.setenv(APPROVAL_VARIABLE, "1")
            promoted(workspace, worlds[number], digests[number], {**PROMOTE_CONFIG, "seed": seed})

    return Toy(workspace), propose, digests


def paused_run(url):
    """The address of the run that is paused, once there is one."""
    end = time.monotonic() + 100
    while time.monotonic() < end:
        for run in httpx.post(f"{url}/flow_runs/filter", json={}, trust_env=False).json():
            if run["state"]["type"] == "PAUSED":
                return f"{url}/flow_runs/{run['id']}"
        time.sleep(0.3)
    raise AssertionError("no run is paused")


def kinds():
    return [entry.kind for entry in read_ledger_quickly(NAME).entries]


def test_a_person_answers_on_the_page_or_on_the_command_line(project, prefect_url):
    toy, propose, digests = project
    propose(1, seed=1)
    waiter = toy.start("-c", WAIT, PREFECT_API_URL=prefect_url)
    paused_run(prefect_url)
    assert waiter.poll() is None
    declined = toy.pedigree("promote", "--decline", PREFECT_API_URL=prefect_url)
    assert declined.returncode == 0, declined.stdout
    told = waiter.communicate(timeout=60)[0]
    assert (waiter.returncode, kinds()) == (0, ["promoted", "proposed", "declined"]), told

    propose(1, seed=2)
    waiter = toy.start("-c", WAIT, PREFECT_API_URL=prefect_url)
    form = {"run_input": {"agree": True}}  # as the page sends it
    httpx.post(f"{paused_run(prefect_url)}/resume", json=form, trust_env=False).raise_for_status()
    told = waiter.communicate(timeout=60)[0]
    assert (waiter.returncode, kinds()[3:]) == (0, ["proposed", "promoted"]), told
    assert access.champion(NAME).digest == digests[1]

    propose(2, seed=1)  # and nobody is there who waits
    approved = toy.pedigree("promote", "--approve", PREFECT_API_URL=prefect_url)
    assert approved.returncode == 0, approved.stdout
    assert f"promoted: {digests[2][:16]} (ledger entry 7" in approved.stdout
    assert (kinds()[5:], access.champion(NAME).digest) == (["proposed", "promoted"], digests[2])
    nobody = toy.pedigree("promote", "--approve", PREFECT_API_URL=prefect_url)
    assert nobody.returncode == 8
    assert "no proposal that waits" in nobody.stdout


def test_nobody_there_is_a_no(project, prefect_url):
    toy, _, _ = project
    asking = "from flows.environment import prepare; prepare(); from flows.approval import ask; print(ask(['why'], 3))"
    done = toy.run("-c", asking, PREFECT_API_URL=prefect_url)
    assert done.stdout.splitlines()[-1] == "False", done.stdout
    assert not Path(toy.root / ".pedigree/prefect/approval.json").exists()
