"""The packings that trainers are tested on, and the phases of each."""

PACKINGS = ("document_start", "concat", "repeat_prefix", "best_fit")
PHASES = ("conditioned", "cooldown")
