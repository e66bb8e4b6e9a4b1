"""Opens versions as ``load`` does, each in a process of its own behind walls, and tells what happened.

``python -m tests.components.provenance.attack KEY TRAPS VERSION...`` prints JSON for each version: the outcome,
the seconds, the bytes of memory above what the process had before, and what the audit hook noticed.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

RUNS_CODE = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "pickle.find_class",
             "marshal.loads", "ctypes.dlopen", "socket.connect", "exec")  # fmt: skip


def main(key, traps, *versions):
    """Open each version in a fork of this process, which has everything imported and nothing started."""
    from ruamel.yaml import YAML

    from components.core.keys import key_id, load_public_key
    from components.provenance import verify

    public = load_public_key(key)
    list(YAML(typ="safe", pure=True).scan("warm: up"))
    for version in versions:
        if os.fork() == 0:
            attempt(verify.verify_version, version, {key_id(public): public}, traps)
            os._exit(0)
        os.wait()


def attempt(verify_version, version, believed, traps):
    """Open one version with nothing else in reach; print what happened."""
    from components.core.errors import InputError
    from components.core.sandbox import Walls, confine

    confine(Walls(readable=(version,), writable=()))
    events = []
    sys.addaudithook(lambda event, arguments: watch(event, arguments, traps, events))
    before, begin = peak_bytes(), time.perf_counter()
    try:
        verify_version(version, believed)
        outcome, expected = "accepted", ""
    except InputError as error:
        outcome, expected = error.found, error.expected
    except BaseException as error:  # a fault of ours is told as what it is
        outcome, expected = f"fault: {type(error).__name__}: {error}", ""
    seconds, grown = time.perf_counter() - begin, peak_bytes() - before
    told = {"outcome": outcome, "expected": expected, "seconds": seconds, "bytes": grown, "events": events}
    print(json.dumps(told), flush=True)


def watch(event, arguments, traps, events):
    """Note what runs code, and what reaches for the traps."""
    if event in RUNS_CODE or (event == "open" and str(arguments[0]).startswith(str(traps))):
        events.append(event)


def peak_bytes():
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(*(Path(word) for word in sys.argv[1:]))
