"""What Dataflow would be given, made by Beam's own translation, with Google's services played by a few lines.

No request leaves the machine: files go to a fake of the storage's HTTP interface, the channel of the job service leads
to a port that nobody listens on, and nothing else can be connected to.
"""

import base64
import io
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apache_beam as beam
import google.auth
import google_crc32c
import grpc
import pytest
from apache_beam.internal.gcp import auth
from apache_beam.options.pipeline_options import GoogleCloudOptions, SetupOptions
from apache_beam.portability.api import beam_runner_api_pb2
from google.auth.credentials import AnonymousCredentials
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from byline.pipelines.runners.runner import make_runner
from byline.pipelines.runners.settings import RunnerSettings

Wire = Callable[[beam.Pipeline], object]

IMAGE = "europe-west4-docker.pkg.dev/my-project/images/byline:0.1.0"
NEEDED = {
    "sdk_container_image": IMAGE,
    "project": "my-project",
    "region": "europe-west4",
    "temp_location": "gs://my-bucket/tmp",
}
OPTIONS = tuple(f"--{name}={value}" for name, value in NEEDED.items())


@dataclass
class Google:
    """What was sent: the content of each staged file, by its name without folders."""

    staged: dict[str, bytes] = field(default_factory=dict)

    def answer(self, request: PreparedRequest) -> Response:
        """The storage's JSON interface: a bucket, no objects, uploads in one piece."""
        url, status, values = str(request.url), 200, {"name": "my-bucket", "kind": "storage#bucket"}
        assert url.startswith("https://storage.googleapis.com/"), url
        response = Response()
        if request.method == "POST":
            name = json.loads(request.body or b"")["name"].rpartition("/")[2]
            response.headers["location"] = f"{url}&upload_id={name}"
        elif request.method == "PUT":
            content = request.body if isinstance(request.body, bytes) else request.body.read()
            self.staged[url.rpartition("upload_id=")[2]] = content
            values = {"crc32c": base64.b64encode(google_crc32c.Checksum(content).digest()).decode()}
        elif "/o/" in url:
            status = 404
        response.request, response.url, response.status_code = request, url, status
        response.headers["content-type"] = "application/json"
        response.raw = io.BytesIO(json.dumps(values).encode())
        return response


@contextmanager
def faked_google() -> Iterator[Google]:
    """Google for this process; whoever connects to anything else fails."""
    made = Google()

    def connect(_: socket.socket, address: object) -> None:
        raise AssertionError(f"a connection to {address}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HTTPAdapter, "send", lambda _, request, **__: made.answer(request))
        patch.setattr(google.auth, "default", lambda *_, **__: (AnonymousCredentials(), "my-project"))
        patch.setattr(grpc, "secure_channel", lambda *_, **__: grpc.insecure_channel("localhost:1"))
        # Beam keeps credentials, and sets a time limit for all sockets of the process.
        patch.setattr(auth._Credentials, "_credentials_init", False)
        patch.setattr(socket, "setdefaulttimeout", lambda _: None)
        patch.setattr(socket.socket, "connect", connect)
        yield made


@dataclass(frozen=True)
class Job:
    """What Dataflow would get.

    Attributes:
        template: the request, as Beam writes it to a template.
        graph: the pipeline beside it, serialized.
        staged: names of all files that were sent.
    """

    template: dict[str, Any]
    graph: bytes
    staged: list[str]

    @property
    def pipeline(self) -> beam_runner_api_pb2.Pipeline:
        return beam_runner_api_pb2.Pipeline.FromString(self.graph)

    @property
    def steps(self) -> list[str]:
        """Names of all transforms, those inside others included."""
        return sorted(step.unique_name for step in self.pipeline.components.transforms.values())

    @property
    def images(self) -> set[str]:
        """Every image that the request or the pipeline names."""
        environments = self.pipeline.components.environments.values()
        payloads = [beam_runner_api_pb2.DockerPayload.FromString(item.payload) for item in environments]
        pools = self.template["environment"]["workerPools"]
        harnesses = [item["containerImage"] for pool in pools for item in pool["sdkHarnessContainerImages"]]
        return {
            *(item.container_image for item in payloads),
            *(pool["workerHarnessContainerImage"] for pool in pools),
            *harnesses,
        }


def translated(wire: Wire, folder: Path, cloud: Google, **changes: Any) -> Job:
    """A pipeline as Dataflow's runner describes it; nothing runs."""
    cloud.staged.clear()
    runner, options = make_runner(RunnerSettings(runner="dataflow", options=(*OPTIONS, "--job_name=byline")), 0)
    options.view_as(GoogleCloudOptions).template_location = str(folder / "job.json")
    for name, value in changes.items():
        setattr(options.view_as(SetupOptions), name, value)
    pipeline = beam.Pipeline(runner=runner, options=options)
    wire(pipeline)
    assert pipeline.run().state == "DONE"
    # Names of folders on the staging bucket have the time in them.
    text = re.sub(r"byline\.\d+\.\d+", "byline", (folder / "job.json").read_text())
    template = json.loads(text)
    del template["clientRequestId"]
    return Job(template, cloud.staged["pipeline.pb"], sorted(cloud.staged))
