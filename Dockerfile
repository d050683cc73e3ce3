# The worker image, for runners that start containers (Dataflow, and Spark or Flink on a cluster): Byline, what it needs, and
# the program that Beam starts in a worker. The Beam version is the one in requirements.txt.
#
#   docker build --tag REGISTRY/byline:0.1.0 .

FROM apache/beam_python3.11_sdk:2.77.0 AS beam

FROM python:3.11-slim
COPY --from=beam /opt/apache/beam /opt/apache/beam
WORKDIR /opt/byline

# The dependencies first: they change seldom, so a change of the code builds in seconds.
COPY requirements.txt ./
RUN pip install --no-cache-dir --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
# byline/ has links to the four folders after it.
COPY byline byline
COPY schemas schemas
COPY transforms transforms
COPY pipelines pipelines
COPY lab lab
RUN pip install --no-cache-dir --no-deps .
# What is installed is what workers import, not the folders above.
WORKDIR /work

ENTRYPOINT ["/opt/apache/beam/boot"]
