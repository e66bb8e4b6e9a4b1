"""A registration and a promotion, killed by SIGKILL between any two of its steps, and what the next call makes.

``python -m tests.components.registry.kills FOLDER DATABASE`` prints how many kills there were of each, in an empty
folder, from an empty registry. In a process of its own, because it forks: everything is imported once, each attempt is
a child, and nothing is open when it is born.

A step is whatever changes something outside the process: a request of MLflow's client that is no question, the files of
a version, a file that takes its final name.
"""

import gc
import importlib
import itertools
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

from components.core import files
from components.core.keys import believe, load_key
from components.core.lock import WORKSPACE_VARIABLE

_CHANGES = ("create_", "delete_", "log_", "rename_", "restore_", "set_", "update_")


def steps():
    """Every function that changes something, with the module or class that it is taken from."""
    import mlflow

    client = mlflow.MlflowClient
    yield from ((client, name) for name in dir(client) if name.startswith(_CHANGES))
    yield mlflow.pyfunc, "log_model"
    yield files, "move_whole"
    from components.registry import ledger, promotion

    yield ledger, "write_json"
    yield promotion, "write_whole"


def arm(number):
    """Let this process die after its step ``number``, counted from nought: nothing changes before the next one."""
    count = itertools.count()

    def deadly(original):
        def step(*arguments, **keywords):
            this, result = next(count), original(*arguments, **keywords)
            if this == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return step

    for owner, name in list(steps()):
        setattr(owner, name, deadly(getattr(owner, name)))


def attempt(act, number=None):
    """Do ``act`` in a child that dies at a step; True when it was killed. Another end than these is a fault."""
    child = os.fork()
    if child == 0:
        if number is not None:
            arm(number)
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            act()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
        return False
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    raise AssertionError(f"ended with {status} at {number}")


def kill_everywhere(workspace, before, act, check):
    """Kill ``act`` after each of its steps in turn, from the state ``before``, then call it again; the number."""
    number = 0
    restore(before, workspace)
    while attempt(act, number):
        attempt(lambda: (act(), check()))
        restore(before, workspace)
        number += 1
    return number


def warm_up(workspace, act):
    """Import what ``act`` imports and find out what MLflow does, so that no child has to, nor looks through it all."""

    def tell():
        act()
        (workspace / "modules").write_text("\n".join(sys.modules))

    attempt(tell)
    for name in (workspace / "modules").read_text().split():
        with suppress(Exception):
            importlib.import_module(name)
    from mlflow.utils import requirements_utils
    from sqlalchemy.orm import configure_mappers

    requirements_utils._init_packages_to_modules_map()
    configure_mappers()
    gc.freeze()


def keep(workspace, name):
    return Path(shutil.copytree(workspace / ".pedigree", workspace / name))


def restore(kept, workspace):
    shutil.rmtree(workspace / ".pedigree")
    shutil.copytree(kept, workspace / ".pedigree")


def set_up(workspace, empty):
    """An empty registry and two models, the second one better."""
    from components.registry import versions
    from tests.components.registry.world import make_world

    os.environ[WORKSPACE_VARIABLE] = str(workspace)
    os.chdir(workspace)
    believe(load_key().public_key())
    (workspace / ".pedigree/mlflow").mkdir(parents=True)
    shutil.copyfile(empty, workspace / ".pedigree/mlflow/mlflow.db")
    code = workspace / "code"
    versions._copy_code(code)  # what it is takes most of a registration to find out, and is no step
    versions._copy_code = lambda folder: [str(shutil.copytree(code, folder)), "mlflow"][1:]
    return make_world(workspace / "first"), make_world(workspace / "better", seed=1, change=-0.2)


def kill_registration(workspace, first, _better):
    """Kill the registration of the first model; the number of kills."""
    from tests.components.registry import test_registry as world

    output, before = workspace / "data/register", keep(workspace, "empty")

    def register():
        world.registered(output, first)

    def check():
        world.check_complete(first, output)

    warm_up(workspace, lambda: (register(), check()))
    return kill_everywhere(workspace, before, register, check)


def kill_promotion(workspace, first, better):
    """Kill the promotion of the better model; the number of kills."""
    from components.registry import access
    from tests.components.registry import test_registry as world

    output = workspace / "data/register"

    def prepare():
        world.promoted(workspace, first, world.registered(output, first))
        world.registered(output, better)

    def promote():
        world.promoted(workspace, better, files.read_json(output / "version.json")["digest"])

    def check():
        digest = files.read_json(output / "version.json")["digest"]
        entries = access.read_ledger_quickly(world.NAME).entries
        assert [entry.kind for entry in entries] == ["promoted", "promoted"]
        assert access.champion(world.NAME).digest == access.load(world.NAME).digest == digest
        assert world.states() == {1: (), 2: ("challenger", "champion")}
        assert world.is_judged(workspace, better, digest)
        assert list(access.find_faults(world.NAME)) == []

    warm_up(workspace, prepare)
    return kill_everywhere(workspace, keep(workspace, "registered"), promote, check)


def main(workspace, empty):
    workspace = Path(workspace).resolve()
    worlds = set_up(workspace, Path(empty).resolve())
    for kill in (kill_registration, kill_promotion):
        print(f"{kill.__name__}: {kill(workspace, *worlds)} kills", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
