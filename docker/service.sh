#!/usr/bin/env bash
# Runs one service of a Spark or Flink cluster for Beam in the foreground, until it is ended. The tests run each service
# as a process (cluster.py), compose.yaml as a container.
#
#   service.sh spark-master       HOST PORT UI_PORT
#   service.sh spark-worker       HOST spark://MASTER:PORT     uses one core: start one for each core
#   service.sh spark-job-server   HOST PORT ARTIFACT_PORT spark://MASTER:PORT
#   service.sh flink-job-manager  HOST RPC_PORT REST_PORT
#   service.sh flink-task-manager HOST MANAGER_HOST RPC_PORT   one slot
#   service.sh flink-job-server   HOST PORT ARTIFACT_PORT MANAGER_HOST:REST_PORT
#   service.sh sdk-workers        PORT                         starts Python workers when an engine asks for them
#
# From the environment:
#   SPARK_HOME, FLINK_HOME  folder with jars/, made by fetch-jars.sh
#   WORK_DIR                for the service's files; default: /tmp
#   EXECUTOR_MEMORY         heap of a Spark executor (512m, the least that it accepts) or of a Flink task (256m)
#   JOB_SERVER_OPTS         more options for the job server's JVM, such as -Dspark.speculation=true
#   JVM_OPTS                more options for every JVM, executors included
#   PYTHON                  a Python with Byline; default: python3
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
service=$1
shift
work=${WORK_DIR:-/tmp}

# Spark, Flink and their serializers use internals that Java 17 hides.
opens=()
for package in lang lang.invoke lang.reflect io net nio time util util.concurrent util.concurrent.atomic; do
  opens+=("--add-opens=java.base/java.$package=ALL-UNNAMED")
done
for package in nio.ch nio.cs security.action util.calendar; do
  opens+=("--add-opens=java.base/sun.$package=ALL-UNNAMED")
done

# jvm HEAP CLASSPATH ARGUMENT...: replaces this process by the service, so that its id is the service's.
jvm() {
  local heap=$1 path=$2
  shift 2
  exec java "${opens[@]}" "${jvm_opts[@]}" "-Xmx$heap" "-Djava.io.tmpdir=$work" -cp "$path" "$@"
}

spark() {
  # A worker makes the command of an executor from SPARK_HOME/jars and these.
  export SPARK_HOME SPARK_SCALA_VERSION=2.12 SPARK_LOCAL_DIRS=$work
  jvm "$1" "$here/spark/conf:$SPARK_HOME/stage-nothing.jar:$SPARK_HOME/jars/*" "${@:2}"
}

flink() {
  local log=org.slf4j.simpleLogger
  jvm "$1" "$FLINK_HOME/stage-nothing.jar:$FLINK_HOME/jars/*" "-D$log.showDateTime=true" "-D$log.dateTimeFormat=HH:mm:ss" \
    "-D$log.showShortLogName=true" "${@:2}"
}

# Arguments of a job server: HOST PORT ARTIFACT_PORT. Nobody here uses the expansion service.
job_server() {
  arguments=("--job-host=$1" "--job-port=$2" "--artifact-port=$3" --expansion-port=0 "--artifacts-dir=$work/artifacts")
}

read -r -a job_server_opts <<<"${JOB_SERVER_OPTS:-}"
read -r -a jvm_opts <<<"${JVM_OPTS:-}"

case $service in
  spark-master)
    spark 256m org.apache.spark.deploy.master.Master --host "$1" --port "$2" --webui-port "$3"
    ;;
  spark-worker)
    # --memory is what the worker may give to executors.
    spark 256m org.apache.spark.deploy.worker.Worker --host "$1" --cores 1 --memory 1g --webui-port 0 \
      --work-dir "$work/applications" "$2"
    ;;
  spark-job-server)
    job_server "$1" "$2" "$3"
    spark 768m "-Dspark.executor.memory=${EXECUTOR_MEMORY:-512m}" "-Dspark.executor.extraJavaOptions=${opens[*]} ${jvm_opts[*]}" \
      "-Dspark.driver.host=$1" "${job_server_opts[@]}" \
      org.apache.beam.runners.spark.SparkJobServerDriver "--spark-master-url=$4" "${arguments[@]}"
    ;;
  flink-job-manager)
    flink 384m org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint --configDir "$here/flink/conf" \
      "-Djobmanager.rpc.address=$1" "-Djobmanager.rpc.port=$2" "-Drest.address=$1" "-Drest.bind-address=$1" \
      "-Drest.port=$3" "-Dio.tmp.dirs=$work"
    ;;
  flink-task-manager)
    # Heap and direct memory are those that conf/config.yaml adds up to.
    flink 640m -XX:MaxDirectMemorySize=128m org.apache.flink.runtime.taskexecutor.TaskManagerRunner \
      --configDir "$here/flink/conf" "-Dtaskmanager.host=$1" "-Djobmanager.rpc.address=$2" "-Djobmanager.rpc.port=$3" \
      "-Dtaskmanager.memory.task.heap.size=${EXECUTOR_MEMORY:-256m}" "-Dio.tmp.dirs=$work"
    ;;
  flink-job-server)
    job_server "$1" "$2" "$3"
    flink 512m "${job_server_opts[@]}" org.apache.beam.runners.flink.FlinkJobServerDriver "--flink-master=$4" \
      "${arguments[@]}"
    ;;
  sdk-workers)
    PYTHONSAFEPATH=1 exec "${PYTHON:-python3}" -m byline.pipelines.runners.worker_pool --port "$1"
    ;;
  *)
    echo "service.sh: no service '$service'; its first lines list them" >&2
    exit 2
    ;;
esac
