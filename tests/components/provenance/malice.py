"""Sixty malicious files, each made to run code, to reach outside, or to exhaust whoever opens it.

In: a folder of traps: ``canary`` (touched when code ran) and ``secret`` (must never be read). Out: by name, the path
below a version where the file goes, and its bytes. In between: the attacks are real: opened by the library that they
are meant for, the pickles do touch the canary.
"""

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import zipfile

import numpy as np

MODEL, PROVENANCE = "model", "provenance"


class Payload:
    """Unpickles by running a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        import os

        return os.system, (self.command,)


def malicious_files(traps):
    """Every attack: name to (path in the version, bytes)."""
    command = f"touch {traps / 'canary'}"
    return {**pickles(command), **archives(command, traps), **mlmodels(command), **keras(command),
            **tensors(), **json_bombs(), **yaml_tags(command, traps), **others(traps)}  # fmt: skip


def pickles(command):
    """Pickles under any name; where the name stood for something good, the file takes its place."""
    names = ["weights.pkl", "weights.pt", "weights.bin", "weights.joblib", "weights.ckpt", "model.json",
             "weights.safetensors", "history.jsonl", "page.html", "weights.npy", "notes.md", "weights"]  # fmt: skip
    found = {f"a pickle called {name}": (f"{MODEL}/{name}", pickle.dumps(Payload(command))) for name in names}
    buffer = io.BytesIO()
    np.save(buffer, np.array([Payload(command)], dtype=object), allow_pickle=True)
    found["a NumPy array of objects"] = (f"{MODEL}/weights.npy", buffer.getvalue())
    found["a pickle of protocol 0 called model.json"] = (f"{MODEL}/model.json", pickle.dumps(Payload(command), 0))
    found["JSON before a pickle"] = (f"{MODEL}/model.json", b"{}\n" + pickle.dumps(Payload(command)))
    return found


def archives(command, traps):
    """Pickles and path tricks inside archives."""
    evil = pickle.dumps(Payload(command))
    torch = zipped({"archive/data.pkl": evil, "archive/version": b"3"})
    found = {"a pickle in a zip called model.pt": (f"{MODEL}/model.pt", torch),
             "a pickle in a zip called weights.safetensors": (f"{MODEL}/weights.safetensors", torch),
             "a pickle in an npz": (f"{MODEL}/weights.npz", zipped({"a.npy": evil})),
             "a pickle in a gzip": (f"{MODEL}/model.json", gzip.compress(evil)),
             "a pickle in a bzip2": (f"{MODEL}/history.jsonl", bz2.compress(evil)),
             "a pickle in an xz called code.tar": (f"{PROVENANCE}/code.tar", lzma.compress(evil)),
             "a bomb called code.tar": (f"{PROVENANCE}/code.tar", gzip.compress(bytes(1 << 27)))}  # fmt: skip
    tricks = {
        "out by dots": ("../../escaped", tarfile.REGTYPE, ""),
        "an absolute path": (str(traps / "x"), tarfile.REGTYPE, ""),
        "a symbolic link": ("link", tarfile.SYMTYPE, str(traps / "secret")),
        "a hard link": ("link", tarfile.LNKTYPE, "/etc/passwd"),
        "a device": ("null", tarfile.CHRTYPE, ""),
        "a pipe": ("pipe", tarfile.FIFOTYPE, ""),
        "backslashes": ("..\\..\\escaped", tarfile.REGTYPE, ""),
    }
    for name, (path, kind, target) in tricks.items():
        found[f"a tar with {name}"] = (f"{PROVENANCE}/code.tar", tarred(path, kind, target))
    return found


def mlmodels(command):
    """MLflow's own ways to run code."""
    loader = "flavors:\n  python_function:\n    loader_module: os\n    code: code\n"
    fields = "artifact_path: model\nflavors:\n  python_function:\n    loader_module: evil\n    data: .\n"
    code = f"import os; os.system({command!r})\n".encode()
    return {"MLmodel with loader_module": (f"{MODEL}/MLmodel", loader.encode()),
            "MLmodel with code beside it": (f"{MODEL}/code/evil.py", code),
            "MLmodel called params.yaml": (f"{PROVENANCE}/params.yaml", ("!!python/object/apply:os.system\n- "
                                           + command + "\n" + fields).encode()),
            "a python_model.pkl": ("evaluation/python_model.pkl", pickle.dumps(Payload(command))),
            "a module called tokenizer.py": ("tokenizer/tokenizer.py", code),
            "a path file": (f"{MODEL}/evil.pth", b"import os; os.system('" + command.encode() + b"')\n")}  # fmt: skip


def keras(command):
    """Keras and TensorFlow formats that hold code."""
    layer = {"class_name": "Lambda", "config": {"function": {"class_name": "__lambda__", "config": {"code": command}}}}
    config = json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}}).encode()
    saved = zipped({"config.json": config, "metadata.json": b"{}", "model.weights.h5": b"\x89HDF\r\n\x1a\n"})
    traversal = zipped({"config.json": config, "../../../assets/evil": b"x"})
    graph = b"\x08\x01\x12\x10" + b"saved_model" + command.encode()
    return {"a .keras with a Lambda": (f"{MODEL}/model.keras", saved),
            "a .keras with a path out": (f"{MODEL}/model.keras", traversal),
            "a .keras called weights.safetensors": (f"{MODEL}/weights.safetensors", saved),
            "HDF5": (f"{MODEL}/weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(512)),
            "HDF5 called weights.safetensors": (f"{MODEL}/weights.safetensors", b"\x89HDF\r\n\x1a\n" + bytes(512)),
            "a SavedModel": (f"{MODEL}/saved_model.pb", graph),
            "a SavedModel called history.jsonl": (f"{MODEL}/history.jsonl", b"\xff" + graph)}  # fmt: skip


def tensors():
    """Headers of safetensors that lie."""

    def entry(shape, begin, end, dtype="F32"):
        return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}

    lies = {
        "overlapping tensors": {"a": entry([4], 0, 16), "b": entry([4], 8, 24)},
        "a gap between tensors": {"a": entry([4], 0, 16), "b": entry([4], 20, 36)},
        "a negative offset": {"a": entry([4], -16, 0)},
        "an offset beyond the end": {"a": entry([1 << 40], 0, 4 << 40)},
        "a shape that multiplies over": {"a": entry([1 << 62, 4], 0, 16)},
        "a negative shape": {"a": entry([-2, -2], 0, 16)},
        "a shape that its bytes do not hold": {"a": entry([400], 0, 16)},
        "an unknown type": {"a": entry([4], 0, 16, "O64")},
        "a type that is no text": {"a": entry([4], 0, 16, ["F32"])},
        "fractions as offsets": {"a": entry([4], 0.0, 16.5)},
        "100,000 tensors": {f"t{n}": entry([0], 0, 0) for n in range(100_000)},
        "notes that are no texts": {"__metadata__": {"a": {"b": 1}}, "a": entry([4], 0, 16)},
    }
    path = f"{MODEL}/weights.safetensors"
    found = {f"safetensors with {name}": (path, safetensors(json.dumps(lie).encode())) for name, lie in lies.items()}
    one = b'"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}'
    return {**found, "safetensors with one name twice": (path, safetensors(b"{" + one + b"," + one + b"}")),
            "safetensors with a header of 2**63 bytes": (path, struct.pack("<Q", 1 << 63) + bytes(64)),
            "safetensors of three bytes": (path, b"abc")}  # fmt: skip


def json_bombs():
    """JSON that costs memory, time or the stack."""
    path = f"{MODEL}/model.json"
    return {"JSON of depth 1,000,000": (path, b"[" * 1_000_000 + b"]" * 1_000_000),
            "JSON of five million lists": (path, b"[" + b"[]," * 5_000_000 + b"[]]"),
            "a number of a million digits": (path, b'{"width": ' + b"9" * 1_000_000 + b"}"),
            "not a number": (path, b'{"width": NaN}'),
            "one name twice": (path, b'{"width": 8, "width": 1000000000}'),
            "a text of a hundred megabytes": (path, b'"' + b"a" * 100_000_000 + b'"'),
            "JSON that is no UTF-8": (path, b'{"width": "\xff\xfe"}')}  # fmt: skip


def yaml_tags(command, traps):
    """YAML that builds objects, reads files or grows."""
    pairs = zip("abcdefgh", "bcdefghi", strict=True)
    laughs = "\n".join(["a: &a [x, x]", *(f"{b}: &{b} [*{a}, *{a}]" for a, b in pairs)])
    path = f"{PROVENANCE}/params.yaml"
    return {"YAML that applies a function": (path, f"!!python/object/apply:os.system ['{command}']".encode()),
            "YAML that makes an object": (path, b"x: !!python/object/new:subprocess.Popen [['true']]"),
            "YAML that includes a file": (path, f"x: !include {traps / 'secret'}".encode()),
            "YAML that laughs a billion times": (path, laughs.encode()),
            "YAML with a directive": (path, b"%TAG ! tag:yaml.org,2002:python/\n---\nx: 1\n")}  # fmt: skip


def others(traps):
    """Pages with scripts, Parquet that is none."""
    page = b"<!doctype html><script>fetch('file:///etc/passwd')</script>"
    ours = b"<!doctype html><meta content=\"default-src 'none'\"><iframe src='file:///etc/passwd'></iframe>"
    return {"a page with a script": (f"{MODEL}/page.html", page), "a page with a frame": (f"{MODEL}/page.html", ours),
            "Parquet with a footer beyond its end": ("evaluation/documents.parquet",
             b"PAR1" + struct.pack("<I", 1 << 31) + b"PAR1"),
            "a link to a secret": (f"{MODEL}/model.json", traps / "secret")}  # fmt: skip


def safetensors(header, data=bytes(16)):
    """A file of that header."""
    return struct.pack("<Q", len(header)) + header + data


def zipped(files):
    """A zip of those files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(path, kind, target):
    """A tar with one member."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(path)
        member.type, member.linkname = kind, target
        archive.addfile(member, io.BytesIO(b""))
    return buffer.getvalue()
