"""What is settled before Keras is imported."""

import subprocess
import sys


def test_importing_the_model_says_nothing_and_later_errors_are_seen() -> None:
    code = "import components.model.transformer, sys; print('seen', file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "seen\n")
