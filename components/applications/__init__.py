"""The applications of a language model, each one module that holds one value.

    application     what an application is
    texts           what several of them do with texts and records
    documentation   the parts of a docstring
    NAME            an application; whoever adds one adds its module, and nothing else here

How the rooms use one (``application = APPLICATIONS[name]``):

- prepare: ``derive`` and ``convert`` turn documents and records into drafts; ``ask(draft.request)`` is the prompt.
- train learns prompt, answer and end of text (``components.core.examples``) and never imports this library.
- assess lets the model answer as ``decoding`` says, and scores by the metrics.
- serve parses the HTTP body as ``request``, takes ``ask(request)`` as the prompt, encodes it, fits it into the context
  with ``components.core.examples.begin``, and lets the model answer: ``choose`` scores each of
  ``read_asked(folder).choices`` by its log-probability as the answer, ended; ``write`` writes greedily until end of
  text or ``max_answer_tokens``; ``rank`` ranks a catalogue. ``respond`` makes the HTTP body of it.

A library: it reads no file and no params.
"""

from components.applications.application import Application, Body, Draft, Material, Refusal
from components.core.modules import modules_of

APPLICATIONS: dict[str, Application] = {
    module.APPLICATION.name: module.APPLICATION for module in modules_of(__name__) if hasattr(module, "APPLICATION")
}

__all__ = ["APPLICATIONS", "Application", "Body", "Draft", "Material", "Refusal"]
