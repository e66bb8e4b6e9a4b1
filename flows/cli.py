"""The command line, ``pedigree``: reads what is wanted, does it, and tells a user's mistake in one clear sentence.

In: arguments. Out: an exit code. In between: nothing heavy is imported before it is known what for, so that help is
immediate; a traceback means a fault of ours.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from components.core.errors import PedigreeError, WorkspaceError

INTERRUPTED = 130
_DESCRIPTION = "A supply chain for language models: from raw text to a promoted model that can prove its origin."
_EPILOG = """\
examples:
  pedigree run                        build everything that is not up to date, side by side where it can
  pedigree run evaluate               only what `evaluate` needs
  pedigree plan                       what would run, and which change is the reason
  pedigree recipe debug               switch to the small recipe (a minute); the results of the other are kept
  pedigree refresh                    look at the sources again and show what is not as it was pinned
  pedigree generate "The mean of"     let the champion go on with a text
  pedigree serve                      answer over HTTP: http://127.0.0.1:8000 is the playground
  pedigree verify                     check the champion, back to the raw bytes
  pedigree impact GPL-2.0-only        which versions were trained on texts under that licence
  pedigree why 3f2a9c01               what happened to the document whose identity begins so
  pedigree schedule --cron "0 3 * * *"   refresh and run every night at three (UTC)
  pedigree ui                         MLflow's pages: models, metrics, versions side by side

`dvc repro` drives the same graph (dvc.yaml) and leaves the same dvc.lock; after either, the other finds nothing to do.

environment:
  PEDIGREE_JOBS           stages that may run side by side (3)
  PEDIGREE_KEY            the private key to sign with; otherwise one is made in .pedigree/keys on first use
  PREFECT_API_URL         a Prefect server of your own; otherwise a local one runs as long as it is needed
  PEDIGREE_CHECKPOINT_SECONDS   seconds between checkpoints of a training (60); 0 is one after each step
  PEDIGREE_API_KEYS       keys that `pedigree serve` lets in, separated by commas
  MLFLOW_TRACKING_URI     an MLflow server of your own; otherwise a database below .pedigree
  PEDIGREE_ARTIFACTS      s3://BUCKET/PREFIX for the files of versions; otherwise they stay beside that database

exit codes:
  0  done                         5  this folder cannot be driven now (held, full, no project)
  1  something else went wrong    6  a stage touched what it had not declared
  2  params.yaml, or a command    7  a stage broke its contract
  3  a check did not pass         8  the model registry is out of reach
  4  an input is not what it was  9  asked to stop, and can go on where it had come to
                                  130  interrupted
A stage's own exit code is passed on.
"""
_WHAT = """
WHAT is taken as a source or a licence when a version knows one of that name, as a document when it is 32 hexadecimal
digits, as the text of a file when there is such a file, and else as a text itself: the whole text of a document."""
Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; returns the exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)
    try:
        _enter_project()
        command: Command = options.command
        return command(options)
    except PedigreeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the next `pedigree run` goes on from here", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print("error: no space left on the disk; free some and run again", file=sys.stderr)
        return WorkspaceError.exit_code


def _end(number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _enter_project() -> None:
    """Go to the project's top folder, from wherever inside it the command was given."""
    from flows.environment import prepare

    here = Path.cwd()
    os.chdir(next((folder for folder in (here, *here.parents) if (folder / "dvc.yaml").exists()), here))
    prepare()


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("pedigree", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=raw)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_run, _add_plan, _add_status, _add_refresh, _add_recipe, _add_generate, _add_serve, _add_batch,
                _add_promote, _add_champion, _add_rollback, _add_verify, _add_rebuild, _add_trace, _add_impact,
                _add_why, _add_withdraw, _add_card, _add_schedule, _add_ui, _add_doctor):  # fmt: skip
        add(commands)
    return parser


def _add(commands: Any, name: str, command: Command, summary: str, text: str = "") -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    description = f"{summary[:1].upper()}{summary[1:]}.\n{text}"
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description, formatter_class=raw
    )
    parser.set_defaults(command=command)
    return parser


def _add_run(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from components.core.keys import KEY_VARIABLE
        from flows.run import run

        if options.key:
            os.environ[KEY_VARIABLE] = str(options.key.resolve())
        return run(options.stages)

    text = """
Each stage of dvc.yaml is a Prefect task; DVC decides what is up to date and keeps every result. A stage that
fails stops what follows it, and the next run goes on from there. The sources are pinned first if they never were.
"""
    parser = _add(commands, "run", command, "bring the chain up to date", text)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="only what these stages need (default: all)")
    parser.add_argument("--key", type=Path, metavar="FILE",
                        help="sign with this Ed25519 or ECDSA key (default: one made in .pedigree/keys)")  # fmt: skip


def _add_plan(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from flows.run import show_plan

        return show_plan(options.stages)

    parser = _add(commands, "plan", command, "show what would run, and why", "\nNothing runs.\n")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="only what these stages need (default: all)")


def _add_status(commands: Any) -> None:
    def command(_options: argparse.Namespace) -> int:
        from flows.status import status

        return status()

    _add(commands, "status", command, "show the recipe, what is up to date, champion and challenger, sizes on disk")


def _add_refresh(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from flows.refresh import refresh

        return refresh(is_agreed=options.yes)

    text = "\nShows what is not as sources.lock.json and records.lock.json have it, and asks before it pins that.\n"
    parser = _add(commands, "refresh", command, "look at the sources again", text)
    parser.add_argument("--yes", action="store_true", help="pin what is shown without asking")


def _add_recipe(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from flows import recipes

        if options.save:
            return recipes.save(options.save)
        return recipes.use(options.name) if options.name else recipes.list_recipes()

    text = """
Without a name: the recipes in infra/recipes, the one in use marked. With a name: params.yaml becomes that recipe.
Values of your own are never overwritten: keep them with --save first.
"""
    parser = _add(commands, "recipe", command, "list, switch or keep sets of values", text)
    parser.add_argument("name", nargs="?", metavar="NAME", help="the recipe to use")
    parser.add_argument("--save", metavar="NAME", help="keep params.yaml as a recipe of that name")


def _add_generate(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from flows.generate import generate

        return generate(options.prompt, which=options.version, num_tokens=options.tokens,
                        temperature=options.temperature, seed=options.seed)  # fmt: skip

    parser = _add(commands, "generate", command, "let a registered model go on with a text",
                  "\nEvery byte of the version is checked before it is loaded.\n")  # fmt: skip
    parser.add_argument("prompt", metavar="PROMPT", help="the beginning of the text")
    parser.add_argument("--version", default="champion", help="alias, number or digest (default: champion)")
    parser.add_argument("--tokens", type=int, default=100, help="most tokens to write (default: 100)")
    parser.add_argument("--temperature", type=float, default=0.8, help="0 takes the likeliest token (default: 0.8)")
    parser.add_argument("--seed", type=int, default=1, help="equal seeds give equal texts (default: 1)")


def _add_serve(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from flows.serve import serve

        names = ("which", "shadow", "host", "port", "num_slots", "requests_per_minute", "timeout_seconds",
                 "drain_seconds", "log_text", "weights")  # fmt: skip
        values = {name: getattr(options, name) for name in names}
        return serve({**values, "allowed_hosts": tuple(options.allowed_hosts)})

    text = """
OpenAI's completions and chat, a playground, /healthz, /readyz and /metrics. The version behind the alias answers;
when the alias moves, new requests get the new version. Every byte is checked before it is loaded. API keys stand in
PEDIGREE_API_KEYS, separated by commas; without them everybody is let in.
"""
    parser = _add(commands, "serve", command, "answer over HTTP with a registered model", text)
    parser.add_argument("--version", dest="which", default="champion",
                        help="alias, number or digest (default: champion)")  # fmt: skip
    parser.add_argument("--shadow", default="", metavar="VERSION",
                        help="answers too, unseen (challenger): how far both agree is logged")  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8000, help="default: 8000; 0 takes a free one")
    parser.add_argument("--allow-host", dest="allowed_hosts", action="append", default=[], metavar="NAME",
                        help="a name by which it may be asked, beside localhost and numeric addresses")  # fmt: skip
    parser.add_argument("--weights", default="float32", choices=("float32", "int8"),
                        help="int8 writes faster and rounds the weights to one byte (default: float32)")  # fmt: skip
    parser.add_argument("--slots", dest="num_slots", type=int, default=32, help="texts at once (default: 32)")
    parser.add_argument("--requests-per-minute", type=int, default=0, metavar="N",
                        help="of one key, or of one address (default: no limit)")  # fmt: skip
    parser.add_argument("--timeout", dest="timeout_seconds", type=float, default=300.0, metavar="SECONDS",
                        help="longest time for one answer, and for loading its version (default: 300)")  # fmt: skip
    parser.add_argument("--drain", dest="drain_seconds", type=float, default=30.0, metavar="SECONDS",
                        help="time that running answers get at the end (default: 30)")  # fmt: skip
    parser.add_argument("--log-text", action="store_true", help="write prompts and answers into the log too")


def _add_batch(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from flows.batch import run_batch

        values = {"num_tokens": options.tokens, "temperature": options.temperature, "seed": options.seed}
        return run_batch(options.source, options.target, which=options.version, column=options.column,
                         application=options.application, options=values)  # fmt: skip

    text = """
SOURCE and TARGET are Parquet files here or in S3 (s3://bucket/key). TARGET gets the columns of SOURCE and the texts;
each row's text depends on the version, the options and its row number alone.

With --application each row is a request: its columns are called as the fields of the application's HTTP route are.
TARGET gets the answer as JSON in the column answer, or what is wrong with the row in the column error.
"""
    parser = _add(commands, "batch", command, "go on with every prompt of a table, or answer every row", text)
    parser.add_argument("source", metavar="SOURCE", help="a Parquet table with prompts or requests")
    parser.add_argument("target", metavar="TARGET", help="the table to write")
    parser.add_argument("--column", default="prompt", help="the column of the prompts (default: prompt)")
    parser.add_argument("--application", default="", metavar="NAME", help="answer rows, such as classify")
    parser.add_argument("--version", default="champion", help="alias, number or digest (default: champion)")
    parser.add_argument("--tokens", type=int, default=100, help="most tokens of a text (default: 100)")
    parser.add_argument("--temperature", type=float, default=0.8, help="0 takes the likeliest token (default: 0.8)")
    parser.add_argument("--seed", type=int, default=1, help="the row number is added to it (default: 1)")


def _add_promote(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from flows.promote import decide, promote

        if options.approve or options.decline:
            return decide(agree=options.approve, application=options.application)
        return promote(require_approval=options.require_approval)

    text = """
The alias `champion` moves only when the model is better by the rule in params.yaml. The verdict is told in six lines
and on a page, and stands in the ledger, signed.
"""
    parser = _add(commands, "promote", command, "judge the newest model against the champion now, and say why", text)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--require-approval", action="store_true",
                     help="pause for a person: at this terminal, or on Prefect's pages")  # fmt: skip
    how.add_argument("--approve", action="store_true", help="agree to the promotion that waits for a person")
    how.add_argument("--decline", action="store_true", help="refuse it")
    _add_application(parser)


def _add_champion(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from flows.promote import show_champion

        return show_champion(options.at, options.application)

    parser = _add(commands, "champion", command, "show who is champion, or was, and why")
    parser.add_argument("--at", metavar="DATE", help="a date or a time (UTC), such as 2026-11-24 or 2026-11-24T18:30")
    _add_application(parser)


def _add_rollback(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from flows.promote import roll_back

        return roll_back(options.version, options.application)

    text = "\nEvery byte of it is checked before the switch. The gate never promotes by itself what was rolled back.\n"
    parser = _add(commands, "rollback", command, "make the champion before champion again", text)
    parser.add_argument("version", nargs="?", metavar="VERSION", help="number or digest of another version")
    _add_application(parser)


def _add_application(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--application", default="", metavar="NAME",
                        help="of the champion that an application has of its own")  # fmt: skip


def _add_verify(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from flows.verify import verify

        return verify(options.version, options.key)

    text = """
Checks the signature, every file of the version, every artifact of every stage behind it, and the raw bytes that the
first stage read; needs no network. Stops at the first leaf that is not as it must be, and names it. A folder of the
workspace (data/train) is checked in the same way, except that nobody signed it. Loading, serving and promoting check
the version's own files by themselves.

examples:
  pedigree verify                          the champion
  pedigree verify 3 --key their.pub.pem    believe this key alone, and none of those in .pedigree/keys
"""
    parser = _add(commands, "verify", command, "check a version, back to the raw bytes", text)
    _add_version(parser, "alias, number, digest, or a folder (default: champion)")
    parser.add_argument("--key", type=Path, metavar="FILE", help="the public key to believe, in PEM")


def _add_rebuild(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from flows.rebuild import rebuild

        return rebuild(options.version, from_raw=options.from_raw)

    text = """
Unpacks the version's own code, params, locks and requirements beside the workspace and runs its chain there, up to
the evaluation; then compares every file of every stage. Equal: the version gets a signed statement that it was
reproduced. Not equal: says which stage and file differ first, and whether the processor explains it (exit code 3).
"""
    parser = _add(commands, "rebuild", command, "make a version again and compare, stage by stage", text)
    _add_version(parser, "alias, number or digest (default: champion)")
    parser.add_argument("--from-raw", action="store_true", help="take nothing from the cache: run every stage")


def _add_trace(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from flows.trace import trace

        return trace(options.version, documents=options.documents)

    text = (
        "\nIts sources, licences, dropped documents, checks, parents, stages and machine, out of its signed record.\n"
    )
    parser = _add(commands, "trace", command, "tell where a version comes from", text)
    _add_version(parser, "alias, number or digest (default: champion)")
    parser.add_argument("--documents", action="store_true",
                        help="list its training documents: identity, source, first step that saw it")  # fmt: skip


def _add_impact(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from flows.impact import impact

        return impact(options.what)

    parser = _add(commands, "impact", command, "tell which versions were trained on something", f"""
Looks in every version of every model, and says for each whether it was trained on it and which step saw it first.
{_WHAT}
Exit code 4 says that a version cannot tell: it has no statement, or no index on this machine.
""")  # fmt: skip
    parser.add_argument("what", metavar="WHAT", help="a document, a text, a source or a licence")


def _add_why(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from flows.why import why

        return why(options.document)

    parser = _add(commands, "why", command, "tell what happened to a document, and which rule decided", """
A line for every stage that met it: kept, set aside by a check, or dropped, by which rule, with the value and the limit.
""")  # fmt: skip
    parser.add_argument("document", metavar="DOCUMENT", help="its doc_id, the first 8 digits of it or more, or its uri")


def _add_withdraw(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from flows.withdraw import withdraw

        return withdraw(options.what, is_agreed=options.yes)

    parser = _add(commands, "withdraw", command, "keep something out of the next corpus", f"""
Shows which versions were trained on it, which documents would go (copies of a text go with it), and what would run
again; after a yes, withdrawn.json says that it is withdrawn, and `pedigree run` trains without it.
{_WHAT}
""")  # fmt: skip
    parser.add_argument("what", metavar="WHAT", help="a document, a text, a source or a licence")
    parser.add_argument("--yes", action="store_true", help="withdraw what is shown without asking")


def _add_card(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from flows.trace import card

        return card(options.version)

    text = "\nAnd say where its page, data sheet, CycloneDX bill of materials and Croissant description are.\n"
    parser = _add(commands, "card", command, "show the model card of a version", text)
    _add_version(parser, "alias, number or digest (default: champion)")


def _add_version(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("version", nargs="?", metavar="VERSION", default="champion", help=text)


def _add_schedule(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from flows.schedule import schedule

        return schedule(cron=options.cron, every_seconds=options.every, refresh=not options.no_refresh)

    text = """
Runs until interrupted. At most one run at a time: one that comes due while another works is cancelled, and the
next catches up. A run that was killed is found out, and the next one goes on at the stage that was killed.
"""
    parser = _add(commands, "schedule", command, "refresh the sources and run the chain by the clock", text)
    when = parser.add_mutually_exclusive_group(required=True)
    when.add_argument("--cron", metavar="EXPRESSION", help='five fields, UTC: "0 3 * * *" is every night at three')
    when.add_argument("--every", type=_seconds, metavar="SECONDS", help="so many seconds apart")
    parser.add_argument("--no-refresh", action="store_true", help="use the pinned sources")


def _add_ui(commands: Any) -> None:
    def command(options: argparse.Namespace) -> int:
        from flows.ui import serve_pages

        return serve_pages(options.pages, options.port)

    parser = _add(commands, "ui", command, "open the pages of MLflow (models) or Prefect (runs)")
    parser.add_argument("pages", nargs="?", choices=["models", "runs"], default="models", help="default: models")
    parser.add_argument("--port", type=int, default=5000, help="on this machine only (default: 5000)")


def _add_doctor(commands: Any) -> None:
    def command(_options: argparse.Namespace) -> int:
        from flows.doctor import doctor

        return doctor()

    _add(commands, "doctor", command, "look for what could keep the chain from running, with what to do about it")


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value < 1e9:
        raise argparse.ArgumentTypeError("at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
