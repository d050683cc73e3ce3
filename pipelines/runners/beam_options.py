"""The checks of a user's Beam options that need no answer from a server.

```
--option spark_master_ulr=x              unknown; did you mean spark_master_url?
--option runner=SparkRunner              --runner says that
--option job_endpoint=HOST:8099          without --runner: means nothing on this machine
--option no_use_public_ips=true          takes no value
--option region=a --option region=b      given twice
```
"""

import contextlib
import difflib
import io
import logging
from argparse import Action, ArgumentParser, _StoreAction
from collections.abc import Iterator

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    JobServerOptions,
    PipelineOptions,
    PortableOptions,
    SparkRunnerOptions,
)

from byline.errors import BylineError
from byline.pipelines.runners import dataflow
from byline.pipelines.runners.settings import JOB_SERVED, Runner

# Beam's options that Byline has its own option for, which would silently win.
_OURS = {"runner": "--runner", "direct_num_workers": "--workers", "direct_running_mode": "--workers"}
_JOB_SERVER = "spark, flink or portable"
_ELSEWHERE = {
    PortableOptions: _JOB_SERVER,
    JobServerOptions: _JOB_SERVER,
    FlinkRunnerOptions: Runner.FLINK.value,
    SparkRunnerOptions: Runner.SPARK.value,
}
_HELP = ("h", "help")


def check_options(kind: Runner, options: tuple[str, ...]) -> list[str]:
    """Checks a user's options, as far as Beam's Python side can.

    Args:
        kind: the runner that they are for.
        options: as on a command line: `--name=value`.

    Returns:
        Names that are not known here, with their dashes; a job server may know them.

    Raises:
        BylineError: an option is wrong, or unknown and there will be no job server to ask.
    """
    actions = _known_actions()
    pairs = [_split(option) for option in options]
    for name, value in pairs:
        if name in _HELP:
            raise BylineError(f"--option {name}: expected a NAME=VALUE of Beam's (docs/clusters.md has those to know)")
        if name in _OURS:
            raise BylineError(f"--option {name}: give {_OURS[name]} instead")
        if value is not None and f"--{name}" in actions and actions[f"--{name}"].nargs == 0:
            raise BylineError(f"--option {name} takes no value; leave ={value} out")
    _check_once(pairs, actions)
    unknown = _unknown_options(options)
    _check_whole_names(kind, unknown, list(actions))
    if kind not in JOB_SERVED:
        check_known(kind, unknown, list(actions))
    if kind is Runner.LOCAL:
        _check_here(options)
    return unknown


def check_known(kind: Runner, unknown: list[str], known: list[str]) -> None:
    """Refuses options that nobody knows.

    Args:
        kind: the runner.
        unknown: names of such options; the error names the first.
        known: names of all known options, for a hint.

    Raises:
        BylineError: there is an unknown option.
    """
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, 1)
        hint = f"; did you mean {near[0].lstrip('-')}?" if near else ""
        name = unknown[0].lstrip("-")
        raise BylineError(f"{kind.value}: unknown --option {name}; expected a NAME=VALUE of Beam's{hint}")


def check_complete(kind: Runner, options: tuple[str, ...]) -> None:
    """Checks options that have no default and that Beam does not insist on.

    Args:
        kind: the runner.
        options: as on a command line, checked.

    Raises:
        BylineError: one is missing or has another form.
    """
    parsed = PipelineOptions(list(options))
    endpoint = parsed.view_as(PortableOptions).job_endpoint
    if kind in JOB_SERVED and endpoint not in (None, "embed"):
        split_endpoint(endpoint)
    if kind is Runner.PORTABLE and endpoint is None:
        raise BylineError("portable: needs the job server's address: --option job_endpoint=HOST:PORT")
    if kind is Runner.DATAFLOW:
        dataflow.check_options(parsed.get_all_options())


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """Host and port of HOST:PORT.

    Raises:
        BylineError: it has another form.
    """
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdigit():
        raise BylineError(f"{endpoint!r}: expected HOST:PORT")
    return host.strip("[]"), int(port)


def known_names() -> list[str]:
    """Every option of Beam's Python side, with its dashes."""
    return list(_known_actions())


def _split(option: str) -> tuple[str, str | None]:
    name, equals, value = option.lstrip("-").partition("=")
    return name, value if equals else None


def _known_actions() -> dict[str, Action]:
    parsers: list[ArgumentParser] = []
    with _quiet():
        PipelineOptions([]).get_all_options(add_extra_args_fn=parsers.append)
    return {
        name: action
        for action in parsers[0]._actions
        for name in action.option_strings
        if name.lstrip("-") not in _HELP
    }


def _check_once(pairs: list[tuple[str, str | None]], actions: dict[str, Action]) -> None:
    """Refuses two values for an option with one value, of which Beam would take the last."""
    first_given: dict[str, tuple[str, str | None]] = {}
    for name, value in pairs:
        action = actions.get(f"--{name}")
        # An option with several values, such as `experiments`, is given once for each.
        if action is not None and (type(action) is not _StoreAction or action.nargs is not None):
            continue
        first_name, first_value = first_given.setdefault(name if action is None else action.dest, (name, value))
        if first_value != value:
            # `job_name and job_name` reads badly, `machine_type and worker_machine_type` does not.
            both = name if first_name == name else f"{first_name} and {name}, the same option,"
            raise BylineError(f"--option {both} is given twice: {first_value!r} and {value!r}; leave one out")


def _unknown_options(options: tuple[str, ...]) -> list[str]:
    parsers: list[ArgumentParser] = []
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr), _quiet():
            PipelineOptions(list(options)).get_all_options(add_extra_args_fn=parsers.append)
            _, unknown = parsers[0].parse_known_args(list(options))
    except SystemExit:
        # After 300 lines of usage comes `PROG: error: argument --x: invalid int value: 'y'`.
        line = stderr.getvalue().strip().splitlines()[-1].partition("error: ")[2]
        raise BylineError(line.replace("argument --", "--option ")) from None
    return [item.split("=", 1)[0] for item in unknown if item.startswith("-")] or unknown


def _check_whole_names(kind: Runner, unknown: list[str], known: list[str]) -> None:
    """Refuses a shortened name, which would be passed to a job server that is not started yet and might accept it."""
    for name in unknown:
        if any(whole.startswith(name) for whole in known):
            check_known(kind, [name], [whole for whole in known if whole.startswith(name)])


def _check_here(options: tuple[str, ...]) -> None:
    """Refuses options that mean nothing on this machine: those of a build for a cluster whose runner is not given."""
    names = {_split(option)[0].replace("-", "_") for option in options}
    elsewhere = dict.fromkeys(dataflow.NEEDED, Runner.DATAFLOW.value)
    for view, where in _ELSEWHERE.items():
        elsewhere |= dict.fromkeys(PipelineOptions([]).view_as(view).get_all_options(current_only=True), where)
    for name in sorted(names & set(elsewhere)):
        raise BylineError(
            f"--option {name} means nothing on this machine; give --runner {elsewhere[name]} with it, or leave it out"
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences Beam's log for the block."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
