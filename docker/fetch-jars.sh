#!/usr/bin/env bash
# Fills FOLDER/jars with what an engine's pom.xml names: the class path of the cluster and of its job server. Where there is
# a Java compiler, also makes FOLDER/stage-nothing.jar (java/), without which a job server sends all those jars with each job.
#
#   fetch-jars.sh spark|flink FOLDER
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
engine=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
rm -rf "$folder/jars" "$folder/classes" "$folder/stage-nothing.jar"

mvn --quiet --batch-mode --file "$here/$engine/pom.xml" dependency:copy-dependencies \
  -DincludeScope=runtime "-DoutputDirectory=$folder/jars"

if command -v javac >/dev/null && command -v jar >/dev/null; then
  find "$here/java" -name '*.java' -exec javac --release 11 -cp "$folder/jars/*" -d "$folder/classes" {} +
  jar --create --file "$folder/stage-nothing.jar" -C "$folder/classes" .
  rm -r "$folder/classes"
fi
