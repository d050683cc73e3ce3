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
from typing import Any

from byline.errors import BylineError

# What a job needs and Byline cannot know, with an example of each.
NEEDED = {
    "sdk_container_image": "REGISTRY/byline:TAG",
    "project": "PROJECT",
    "region": "REGION",
    "temp_location": "gs://BUCKET/tmp",
}
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
    # Where it is wrong, Beam makes a bucket of its own choice.
    if not re.fullmatch(r"gs://[^/]+/.*", given["temp_location"]):
        raise BylineError(f"dataflow: temp_location {given['temp_location']!r}: expected gs://BUCKET/FOLDER")
    if given["template_location"]:
        raise BylineError("dataflow: no template_location: a build is jobs that each need what the one before wrote")


def failures() -> tuple[type[Exception], ...]:
    """What Beam and Google's client raise for a job that failed or was refused."""
    # Imported late: they need the packages of apache-beam[gcp].
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRuntimeException
    from google.api_core.exceptions import GoogleAPICallError

    # An OSError is a file that could not be staged.
    return (RuntimeError, OSError, DataflowRuntimeException, GoogleAPICallError)


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
