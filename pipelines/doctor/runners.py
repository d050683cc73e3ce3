"""Which runners can start, and what a runner lacks with a build's options.

```
$ byline doctor --runner spark --option job_endpoint=localhost:8099
ok  Spark          Java 17.0.15; 233 jars in out/clusters/spark
-   Maven          not there; make spark-up and flink-up need it  apt-get install maven
no  job server     no answer at localhost:8099                    make spark-up, or correct job_endpoint
ok  worker pool    answers at localhost:50000
```

Without `--runner` no address is tried. Whatever needs Beam is imported late, because `byline doctor` must run without
it.
"""

import importlib
import logging
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from byline.errors import BylineError
from byline.pipelines.console.doctor_lines import BROKEN, Check, State
from byline.pipelines.runners import dataflow
from byline.printable import one_line

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from byline.pipelines.runners.settings import Runner
    from byline.schemas.config import Config

# Spark 3.5 and Flink 1.19 run on these; Beam's job servers need at least the first.
JAVA_VERSIONS = (11, 17)
INSTALL_JAVA = "apt-get install openjdk-17-jre-headless"
INSTALL_GCP = 'pip install "apache-beam[gcp]"'
JARS = Path("out/clusters")
ENGINES = {"Spark": "spark", "Flink": "flink"}


def check_runners(beam: Check) -> Iterator[Check]:
    """Checks what each runner needs, whatever the options.

    Args:
        beam: the check of the package apache-beam.
    """
    for name in ("local, in memory", "local, processes"):
        yield Check(name, beam.state, "can start" if beam.state is State.OK else "needs apache-beam", beam.mend)
    java = java_version()
    for name, engine in ENGINES.items():
        yield check_engine(name, engine, java)
    yield _check_maven()
    yield _check_docker()
    yield check_dataflow()


def java_version(command: str = "java") -> str | None:
    """The version of the Java runtime on the PATH; None if there is none that runs."""
    try:
        completed = subprocess.run([command, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r'version "([^"]+)"', completed.stderr + completed.stdout)
    return version[1] if version else None


def check_engine(name: str, engine: str, java: str | None) -> Check:
    """Whether a job server of an engine can run here: Java, and the jars of `make ENGINE-up`."""
    if java is None:
        return Check(name, State.ABSENT, "needs Java for a job server on this machine", INSTALL_JAVA)
    if _major(java) not in JAVA_VERSIONS:
        needed = " or ".join(map(str, JAVA_VERSIONS))
        return Check(name, State.ABSENT, f"Java {java}; its job server needs {needed}", INSTALL_JAVA)
    count = len(list((JARS / engine / "jars").glob("*.jar")))
    jars = f"{count} jars in {JARS / engine}" if count else f"no jars yet: make {engine}-up fetches them"
    return Check(name, State.OK, f"Java {java}; {jars}")


def _major(version: str) -> int:
    """The major version: 17 of 17.0.15, 8 of 1.8.0_292."""
    numbers = [int(number) for number in re.findall(r"\d+", version)]
    return numbers[1] if numbers[0] == 1 and len(numbers) > 1 else numbers[0]


def _check_maven() -> Check:
    if shutil.which("mvn"):
        return Check("Maven", State.OK, "can fetch the jars of a job server")
    return Check("Maven", State.ABSENT, "not there; make spark-up and flink-up need it", "apt-get install maven")


def _check_docker() -> Check:
    if shutil.which("docker"):
        return Check("Docker", State.OK, "can make the worker image (Dockerfile)")
    return Check(
        "Docker", State.ABSENT, "not there; the worker image and docker/compose.yaml need it", "install Docker"
    )


def check_dataflow() -> Check:
    """Whether Beam's Google packages are installed."""
    # Beam logs a warning for each that is missing.
    logging.disable(logging.WARNING)
    try:
        # Without the second, Beam continues without credentials.
        for name in ("apache_beam.runners.dataflow.internal.apiclient", "google_auth_httplib2"):
            importlib.import_module(name)
    except BROKEN as error:
        return Check("Dataflow", State.ABSENT, f"needs more: {one_line(error)}", INSTALL_GCP)
    finally:
        logging.disable(logging.NOTSET)
    return Check("Dataflow", State.OK, "can start")


def check_settings(name: str, options: tuple[str, ...]) -> Iterator[Check]:
    """Checks what one runner needs with these options: its job server, workers, image and credentials.

    Args:
        name: of the runner.
        options: of Beam, as given to a build.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    from byline.pipelines.runners.beam_options import check_options
    from byline.pipelines.runners.runner import default_options, parse_options
    from byline.pipelines.runners.settings import JOB_SERVED, Runner, RunnerSettings

    try:
        kind = Runner.named(name)
        check_options(kind, options)
    except BylineError as error:
        yield Check("runner", State.FAILED, one_line(error), "correct --runner or --option")
        return
    all_options = PipelineOptions([*default_options(kind, PipelineOptions(list(options)), None), *options])
    checks: list[Check] = []
    if kind in JOB_SERVED:
        checks += [*_check_job_server(kind, all_options), *_check_workers(all_options)]
    elif kind is Runner.DATAFLOW:
        checks += _check_cloud(all_options, os.environ, Path.home())
    yield from checks
    # A job server that does not answer cannot say which options it takes.
    if all(check.state is not State.FAILED for check in checks):
        try:
            parse_options(RunnerSettings(runner=name, options=options))
        except BylineError as error:
            yield Check("options", State.FAILED, one_line(error), "correct --option")


def check_reach(name: str, config: "Config", path: str) -> Iterator[Check]:
    """Whether a runner's workers can open what a recipe names: those of Dataflow cannot reach this machine's disk.

    Args:
        name: of the runner.
        config: the recipe.
        path: of its file.
    """
    if name.lower() not in ("dataflow", "dataflowrunner"):
        return
    locations = list(dataflow.locations_of(config, dataflow.BUILDING))
    for key, location in locations:
        if dataflow.is_out_of_reach(location):
            problem = f"{key} {location}: out of reach of Dataflow's workers"
            yield Check("location", State.FAILED, problem, f"a gs:// address for {key} in {path}")
    if any(location.startswith("s3://") for _, location in locations):
        problem = "s3://: Dataflow's workers need AWS credentials in their environment"
        yield Check("location", State.ABSENT, problem, "give them to the workers (docs/dataflow.md), or use gs://")


def _check_job_server(kind: "Runner", options: "PipelineOptions") -> Iterator[Check]:
    from apache_beam.options.pipeline_options import PortableOptions
    from apache_beam.utils.subprocess_server import JavaJarServer

    endpoint = options.view_as(PortableOptions).job_endpoint
    has_own_cluster = kind.value in ENGINES.values()
    remedy = f"make {kind.value}-up" if has_own_cluster else "start it"
    if endpoint is not None:
        yield _check_answer("job server", endpoint, f"{remedy}, or correct --option job_endpoint")
        return
    if not has_own_cluster:
        yield _check_given("job server", None, "--option job_endpoint=HOST:PORT")
        return
    cache = Path(JavaJarServer.JAR_CACHE)
    jars = sorted(cache.glob(f"beam-runners-{kind.value}*-job-server-*.jar"))
    if jars:
        yield Check("job server", State.OK, f"Beam starts its own, {jars[-1].name}")
    else:
        problem = f"no job_endpoint: Beam will download its own to {cache}"
        yield Check("job server", State.ABSENT, problem, f"{remedy} starts one from here")


def _check_workers(options: "PipelineOptions") -> Iterator[Check]:
    from apache_beam.options.pipeline_options import PortableOptions

    from byline.pipelines.runners.failures import POOL_MODULE

    portable = options.view_as(PortableOptions)
    config = str(portable.environment_config)
    if portable.environment_type == "LOOPBACK":
        yield Check("Python workers", State.OK, "in the process of the build itself")
    elif portable.environment_type == "EXTERNAL":
        port = config.rpartition(":")[2]
        remedy = f"on each worker's machine: python -m {POOL_MODULE} --port={port}"
        yield _check_answer("worker pool", config, remedy)
    elif portable.environment_type == "DOCKER":
        image = portable.environment_config or portable.lookup_environment_option("docker_container_image")
        if image:
            yield Check("worker image", State.OK, f"{image}, which each worker's machine must have or may pull")
        else:
            problem = "none: Beam's own image has no Byline"
            yield Check(
                "worker image",
                State.FAILED,
                problem,
                "docker build --tag IMAGE . and --option environment_config=IMAGE",
            )


def _check_answer(name: str, endpoint: str, remedy: str) -> Check:
    from byline.pipelines.runners.runner import answers

    try:
        is_answering = answers(endpoint)
    except BylineError as error:
        return Check(name, State.FAILED, one_line(error), remedy)
    if is_answering:
        return Check(name, State.OK, f"answers at {endpoint}")
    return Check(name, State.FAILED, f"no answer at {endpoint}, from this machine", remedy)


def _check_cloud(options: "PipelineOptions", environment: Mapping[str, str], home: Path) -> Iterator[Check]:
    packages = check_dataflow()
    if packages.state is not State.OK:
        yield Check("Google packages", State.FAILED, packages.found, packages.mend)
    values = options.get_all_options()
    labels = ("worker image", "project", "region", "temporary files")
    for label, (name, example) in zip(labels, dataflow.NEEDED.items(), strict=True):
        yield _check_given(label, values[name], f"--option {name}={example}")
    try:
        dataflow.check_job_locations(values)
    except BylineError as error:
        yield Check("options", State.FAILED, one_line(error), "correct --option")
    if values["machine_type"]:
        yield Check("machine type", State.OK, values["machine_type"])
    else:
        problem = "not given: the service's default may have less than the 4 GB a core that Byline takes"
        yield Check("machine type", State.ABSENT, problem, "--option machine_type=n2-standard-8")
    yield _check_credentials(environment, home)


def _check_given(name: str, value: str | None, remedy: str) -> Check:
    return Check(name, State.OK, value) if value else Check(name, State.FAILED, "not given", remedy)


def _check_credentials(environment: Mapping[str, str], home: Path) -> Check:
    """Looks where Google's libraries look first; on a machine in the cloud they need no file."""
    named = environment.get("GOOGLE_APPLICATION_CREDENTIALS")
    path = Path(named) if named else home / ".config/gcloud/application_default_credentials.json"
    if path.exists():
        return Check("credentials", State.OK, str(path))
    return Check("credentials", State.FAILED, f"{path}: no such file", "gcloud auth application-default login")
