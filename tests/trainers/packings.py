"""The packings that trainers are tested on."""

PACKINGS = ("document_start", "concat", "repeat_prefix", "best_fit")
