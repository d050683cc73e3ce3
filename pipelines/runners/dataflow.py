"""Google Cloud Dataflow: the options of its jobs, and their failures as one line; docs/dataflow.md is the guide.

```
experiments=use_runner_v2                             Byline's   workers run the project's image
sdk_location=container                                Byline's   Beam is in the image, and none is sent
no_save_main_session                                  Byline's   DoFns are found by their modules; Beam sends a pickle
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

# What a job needs and Byline cannot know, with an example of each.
NEEDED = {
    "sdk_container_image": "REGISTRY/byline:TAG",
    "project": "PROJECT",
    "region": "REGION",
    "temp_location": "gs://BUCKET/tmp",
}
# What workers open of a recipe, by what a command has them do.
PREPARING = ("sources", "classifiers", "filter", "tokenizer", "store")
PLANNING = ("store",)
ASSEMBLING = ("tokenizer", "store", "output")
BUILDING = (*PREPARING, "output")
# As Beam takes it (pipeline_options_validator.py, GCS_URI and GCS_BUCKET); where it is another, Beam makes a bucket of
# its own choice.
_LOCATION = re.compile(r"gs://[a-z0-9][-_a-z0-9.]+[a-z0-9]/[^\r\n]*")
# What Beam says of a job that did not get to its end.
_ENDED = re.compile(r"State: (?P<state>\w+), Error:\s*(?P<cause>[^\n]*)")


def default_options(workers: int | None) -> list[str]:
    """Beam's options as they are where a user says nothing, `--name=value` each."""
    count = [] if workers is None else [f"--max_num_workers={workers}"]
    return ["--experiments=use_runner_v2", "--sdk_location=container", "--no_save_main_session", *count]


def check_options(given: dict[str, Any]) -> None:
    """What has no default, and what a build cannot use.

    Args:
        given: every option of Beam by its name.

    Raises:
        BylineError: an option is missing or wrong, or the packages of apache-beam[gcp] are not there.
    """
    if importlib.util.find_spec("google_auth_httplib2") is None:
        raise BylineError('dataflow: needs Google\'s packages: pip install "apache-beam[gcp]"')
    missing = [f"--option {name}={example}" for name, example in NEEDED.items() if not given[name]]
    if missing:
        raise BylineError(f"dataflow: needs {', '.join(missing)} (docs/dataflow.md)")
    check_job_locations(given)


def check_job_locations(given: dict[str, Any]) -> None:
    """Addresses of files for jobs, where they are given.

    Args:
        given: every option of Beam by its name.

    Raises:
        BylineError: one is wrong, or may not be.
    """
    for name in ("temp_location", "staging_location"):
        if given[name] and not _LOCATION.fullmatch(given[name]):
            raise BylineError(
                f"dataflow: {name} {given[name]!r}: expected gs://BUCKET/FOLDER, the bucket's name of at least three "
                "small letters, digits, '-', '_' or '.'"
            )
    if given["template_location"]:
        raise BylineError("dataflow: no template_location: a build is jobs that each need what the one before wrote")


def locations_of(config: "Config", sections: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Every location of a recipe that workers open: its key, and where it is.

    Args:
        config: the recipe.
        sections: which keys, as in `PREPARING`.
    """
    for section in sections:
        if section == "sources":
            for name, source in config.sources.items():
                yield from ((f"sources.{name}.path", pattern) for pattern in source.patterns if not source.is_made)
        elif section == "classifiers":
            yield from ((f"classifiers.{name}.model", found.model) for name, found in config.classifiers.items())
        elif section == "filter":
            from byline.transforms.filters.tables import filter_files

            yield from filter_files(config)
        elif section == "tokenizer":
            yield "tokenizer.file", config.tokenizer.file
        else:
            yield section, getattr(config, section)


def is_out_of_reach(location: str) -> bool:
    """Whether workers, on machines of the cloud, cannot open it."""
    from byline.object_stores import is_object_address

    return not is_object_address(location)


def check_locations(locations: Iterable[tuple[str, str]]) -> None:
    """Refuses locations that are on the driver's machine alone, before a job is paid for that cannot find them.

    Args:
        locations: each with its key.

    Raises:
        BylineError: there are such.
    """
    lost = [f"{key} {location}" for key, location in locations if is_out_of_reach(location)]
    if lost:
        raise BylineError(
            f"dataflow: its workers cannot open {', '.join(lost)}; expected gs:// or s3:// addresses (docs/dataflow.md)"
        )


def failures() -> tuple[type[Exception], ...]:
    """What Beam and Google's client raise for a job that failed or was refused."""
    # Imported late: they need the packages of apache-beam[gcp].
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRuntimeException
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    # An OSError is a file that could not be staged; without a way to Google, one of its tries are used up.
    return (RuntimeError, OSError, DataflowRuntimeException, GoogleAPIError, GoogleAuthError)


def explain(text: str) -> str | None:
    """A failed job's text as one line; None for a fault in the code, which wants its traceback."""
    if "Traceback (most recent call last)" in text:
        return None
    found = _ENDED.search(text)
    cause = text.strip().partition("\n")[0]
    if found is not None:
        cause = f"the job ended as {found['state']}" if found["cause"] in ("", "None") else found["cause"]
    return (
        f"dataflow: {cause}; the job's page in the console says more; what is written stays, and the same command goes "
        "on from there"
    )
