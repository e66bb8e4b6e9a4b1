"""The step in JAX against the step in TensorFlow. A process has one Keras backend, so the former runs in its own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components.train.backends.tensorflow import TensorFlowStep
from tests.components.model.world import OTHER, SIZES, make_model, make_tokens

ROOT = Path(__file__).resolve().parents[3]
OPTIONS = {"weight_decay": 0.1, "clip_norm": 1.0, "num_accumulations": 2, "z_weight": 0.01}
PLACES, WEIGHTS = [[0, 3], [1, 2], [5, 6], [9, 0]], [[1, 1], [1, 1], [1, 2], [1, 0]]
ANSWERS = np.array(PLACES, np.int32), np.array(WEIGHTS, np.float32)
RUN = """
import json, sys
from components.model.backends import settle_backend
settle_backend("jax")
import numpy as np
from components.model.backends import jax_kernels
from components.train.backends.jax import JaxStep, open_devices
from components.train.cluster import Placement
from tests.components.model.world import SIZES, make_model, make_tokens

try:
    open_devices(Placement("GPU", 7))
except Exception as error:
    refused = str(error)
jax_kernels._MOST_LOGITS = 16  # so that there are several groups
sizes, options, places, weights = json.loads(sys.argv[1])
config = type(SIZES)(**sizes)
def steps(numbers, step):
    answers = np.array(places, np.int32), np.array(weights, np.float32)
    return [step(make_tokens(4, 13, seed=number), 0.01, answers if number % 2 else ()) for number in numbers]
whole = JaxStep(make_model(config=config), **options)
told = steps(range(4), whole)
halved = JaxStep(make_model(config=config), **options)
steps(range(2), halved)
resumed = JaxStep(make_model(seed=9, config=config), **options)
resumed.restore(halved.state)
steps(range(2, 4), resumed)
same = all(np.array_equal(array, resumed.state[name]) for name, array in whole.state.items())
total = {name: float(np.abs(array).sum()) for name, array in whole.state.items()}
print(json.dumps({"told": told, "same": same, "total": total, "refused": refused}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [SIZES, OTHER], ids=["GPT-2", "other"])
def test_jax_takes_the_steps_of_tensorflow_and_resumes_bit_for_bit(sizes):
    arguments = json.dumps([sizes.model_dump(), OPTIONS, PLACES, WEIGHTS])
    done = subprocess.run(
        [sys.executable, "-c", RUN, arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["same"]
    assert "7 graphics cards promised, 0 there" in found["refused"]
    step = TensorFlowStep(make_model(config=sizes), **OPTIONS)
    told = [step(make_tokens(4, 13, seed=number), 0.01, ANSWERS if number % 2 else ()) for number in range(4)]
    np.testing.assert_allclose(found["told"], told, rtol=2e-3)
    for name, array in step.state.items():
        assert found["total"][name] == pytest.approx(float(np.abs(array).sum()), rel=5e-3), name
