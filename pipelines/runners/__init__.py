"""Where steps run: this machine, Spark, Flink, Dataflow; their options, workers and failures."""
