"""The packings that trainers are tested on, the phases of each, and the formats that it is exported to."""

PACKINGS = ("document_start", "concat", "repeat_prefix", "best_fit")
PHASES = ("conditioned", "cooldown")
FORMATS = ("hf", "litdata", "mds", "mds-meco", "megatron", "olmo", "parquet")
