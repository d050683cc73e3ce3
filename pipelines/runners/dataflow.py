"""Google Cloud Dataflow: the options of its jobs, and their failures as one line; docs/dataflow.md is the guide.

```
experiments=use_runner_v2                             Byline's   workers run the project's image
sdk_location=container                                Byline's   the image has Beam, so none is sent
no_save_main_session                                  Byline's   DoFns are found by their modules, not in a pickle
sdk_container_image, project, region, temp_location   yours      there is no default
```
"""

import importlib.util
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from byline.errors import BylineError

if TYPE_CHECKING:
    from byline.schemas.config import Config

# Options that a job needs and Byline cannot know, with an example of each.
NEEDED = {
    "sdk_container_image": "REGISTRY/byline:TAG",
    "project": "PROJECT",
    "region": "REGION",
    "temp_location": "gs://BUCKET/tmp",
}
# The keys of a recipe whose files workers open, by what a command makes them do.
PREPARING = ("sources", "classifiers", "filter", "tokenizer", "store")
PLANNING = ("store",)
ASSEMBLING = ("tokenizer", "store", "output")
BUILDING = (*PREPARING, "output")
# As Beam accepts it (pipeline_options_validator.py, GCS_URI and GCS_BUCKET); for anything else Beam would create a
# bucket of its own choice.
_LOCATION = re.compile(r"gs://[a-z0-9][-_a-z0-9.]+[a-z0-9]/[^\r\n]*")
# What Beam says about a job that did not finish.
_ENDED = re.compile(r"State: (?P<state>\w+), Error:\s*(?P<cause>[^\n]*)")


def default_options(workers: int | None) -> list[str]:
    """The defaults for Beam's options, `--name=value` each."""
    count = [] if workers is None else [f"--max_num_workers={workers}"]
    return ["--experiments=use_runner_v2", "--sdk_location=container", "--no_save_main_session", *count]


def check_options(options: dict[str, Any]) -> None:
    """Checks options without a default, and those that a build cannot use.

    Args:
        options: every option of Beam by its name.

    Raises:
        BylineError: an option is missing or wrong, or the packages of apache-beam[gcp] are not installed.
    """
    if importlib.util.find_spec("google_auth_httplib2") is None:
        raise BylineError('dataflow: needs Google\'s packages: pip install "apache-beam[gcp]"')
    missing = [f"--option {name}={example}" for name, example in NEEDED.items() if not options[name]]
    if missing:
        raise BylineError(f"dataflow: needs {', '.join(missing)} (docs/dataflow.md)")
    check_job_locations(options)


def check_job_locations(options: dict[str, Any]) -> None:
    """Checks the addresses for a job's files, if they are given.

    Args:
        options: every option of Beam by its name.

    Raises:
        BylineError: an address is malformed or not allowed.
    """
    for name in ("temp_location", "staging_location"):
        if options[name] and not _LOCATION.fullmatch(options[name]):
            raise BylineError(
                f"dataflow: {name} {options[name]!r}: expected gs://BUCKET/FOLDER, the bucket's name of at least three "
                "lowercase letters, digits, '-', '_' or '.'"
            )
    if options["template_location"]:
        raise BylineError("dataflow: no template_location: a build is jobs that each need what the one before wrote")


def locations_of(config: "Config", sections: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Every location of a recipe that workers open: its key, and the path or address.

    Args:
        config: the recipe.
        sections: which keys, as in `PREPARING`.
    """
    for section in sections:
        if section == "sources":
            for name, source in config.sources.items():
                yield from ((f"sources.{name}.path", pattern) for pattern in source.patterns if not source.is_made)
        elif section == "classifiers":
            yield from ((f"classifiers.{name}.model", item.model) for name, item in config.classifiers.items())
        elif section == "filter":
            from byline.transforms.filters.tables import filter_files

            yield from filter_files(config)
        elif section == "tokenizer":
            yield "tokenizer.file", config.tokenizer.file
        else:
            yield section, getattr(config, section)


def is_out_of_reach(location: str) -> bool:
    """Whether workers, which run in the cloud, cannot open it."""
    from byline.addresses import is_object_address

    return not is_object_address(location)


def check_locations(locations: Iterable[tuple[str, str]]) -> None:
    """Refuses locations that only the driver's machine has, before a job that cannot find them costs money.

    Args:
        locations: each with its key.

    Raises:
        BylineError: there are such locations.
    """
    out_of_reach = [f"{key} {location}" for key, location in locations if is_out_of_reach(location)]
    if out_of_reach:
        raise BylineError(
            f"dataflow: its workers cannot open {', '.join(out_of_reach)}; expected gs:// or s3:// addresses "
            "(docs/dataflow.md)"
        )


def failures() -> tuple[type[Exception], ...]:
    """The exceptions that Beam and Google's client raise for a job that failed or was refused."""
    # Imported late: they need the packages of apache-beam[gcp].
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRuntimeException
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    # An OSError means that a file could not be staged; or, if Google cannot be reached, that all tries failed.
    return (RuntimeError, OSError, DataflowRuntimeException, GoogleAPIError, GoogleAuthError)


def explain(text: str) -> str | None:
    """A failed job's text as one line; None for a bug, which needs its traceback."""
    if "Traceback (most recent call last)" in text:
        return None
    ended = _ENDED.search(text)
    cause = text.strip().partition("\n")[0]
    if ended is not None:
        cause = f"the job ended as {ended['state']}" if ended["cause"] in ("", "None") else ended["cause"]
    return (
        f"dataflow: {cause}; the job's page in the console says more; what is written is kept, and the same command "
        "continues from there"
    )
