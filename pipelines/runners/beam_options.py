"""The runners, and Beam's options as a user gives them: everything that is known to be wrong without asking anybody.

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
from enum import Enum

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    JobServerOptions,
    PipelineOptions,
    PortableOptions,
    SparkRunnerOptions,
)

from byline.errors import BylineError
from byline.pipelines.runners import dataflow


class Runner(Enum):
    """What runs the pipelines; the value is what a user says."""

    LOCAL = "local"
    SPARK = "spark"
    FLINK = "flink"
    PORTABLE = "portable"
    DATAFLOW = "dataflow"

    @classmethod
    def named(cls, name: str) -> "Runner":
        """The runner of our name or of Beam's, in any case of letters.

        Raises:
            BylineError: no runner is called so.
        """
        key = name.lower()
        beams = {"directrunner": cls.LOCAL, "fnapirunner": cls.LOCAL}
        names = {**{kind.value: kind for kind in cls}, **{f"{kind.value}runner": kind for kind in cls}, **beams}
        if key not in names:
            raise BylineError(f"runner {name!r}: expected one of {', '.join(kind.value for kind in cls)}")
        return names[key]


# Those that take a job through a job server of Beam's.
JOB_SERVED = frozenset({Runner.SPARK, Runner.FLINK, Runner.PORTABLE})
# What has an option of Byline's own, which would win without a word.
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
    """What is wrong with a user's options, as far as Beam's Python side alone can say.

    Args:
        kind: the runner that they are for.
        options: as on a command line: `--name=value`.

    Returns:
        Names that are not known here, with their dashes; a job server may know them.

    Raises:
        BylineError: an option is wrong, or no job server will be asked and nobody else knows it.
    """
    actions = _known_actions()
    given = [_split(option) for option in options]
    for name, value in given:
        if name in _HELP:
            raise BylineError(f"--option {name}: expected a NAME=VALUE of Beam's (docs/clusters.md has those to know)")
        if name in _OURS:
            raise BylineError(f"--option {name}: give {_OURS[name]} instead")
        if value is not None and f"--{name}" in actions and actions[f"--{name}"].nargs == 0:
            raise BylineError(f"--option {name} takes no value; leave ={value} out")
    _check_once(given, actions)
    unknown = _unknown_options(options)
    _check_whole_names(kind, unknown, list(actions))
    if kind not in JOB_SERVED:
        check_known(kind, unknown, list(actions))
    if kind is Runner.LOCAL:
        _check_here(options)
    return unknown


def check_known(kind: Runner, unknown: list[str], known: list[str]) -> None:
    """Refuses the first of names that nobody knows.

    Args:
        kind: the runner.
        unknown: such names.
        known: all others, for a hint.

    Raises:
        BylineError: there is one.
    """
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, 1)
        hint = f"; did you mean {near[0].lstrip('-')}?" if near else ""
        name = unknown[0].lstrip("-")
        raise BylineError(f"{kind.value}: unknown --option {name}; expected a NAME=VALUE of Beam's{hint}")


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


def _check_once(given: list[tuple[str, str | None]], actions: dict[str, Action]) -> None:
    """Of an option with one value Beam would take the last."""
    found: dict[str, tuple[str, str | None]] = {}
    for name, value in given:
        action = actions.get(f"--{name}")
        # One of several values, such as `experiments`, is given once for each.
        if action is not None and (type(action) is not _StoreAction or action.nargs is not None):
            continue
        before, other = found.setdefault(name if action is None else action.dest, (name, value))
        if other != value:
            # `job_name and job_name` reads badly, `machine_type and worker_machine_type` does not.
            both = name if before == name else f"{before} and {name}, the same option,"
            raise BylineError(f"--option {both} is given twice: {other!r} and {value!r}; leave one out")


def _unknown_options(options: tuple[str, ...]) -> list[str]:
    parsers: list[ArgumentParser] = []
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), _quiet():
            PipelineOptions(list(options)).get_all_options(add_extra_args_fn=parsers.append)
            _, unknown = parsers[0].parse_known_args(list(options))
    except SystemExit:
        # The last line of a usage text of three hundred lines: `PROG: error: argument --x: invalid int value: 'y'`.
        line = said.getvalue().strip().splitlines()[-1].partition("error: ")[2]
        raise BylineError(line.replace("argument --", "--option ")) from None
    return [item.split("=", 1)[0] for item in unknown if item.startswith("-")] or unknown


def _check_whole_names(kind: Runner, unknown: list[str], known: list[str]) -> None:
    """Refuses a name cut short, which a job server that is still to be started would be given, and might not mind."""
    for name in unknown:
        if any(whole.startswith(name) for whole in known):
            check_known(kind, [name], [whole for whole in known if whole.startswith(name)])


def _check_here(options: tuple[str, ...]) -> None:
    """Refuses what means nothing on this machine: a build for a cluster, given without its runner."""
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
    """Nothing of Beam's log."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
