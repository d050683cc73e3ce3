"""One module a command: its options, and one call into a job, a transform or the console.

A module here imports at its top only what `--help` needs; Beam, Arrow and the rest are imported by the call.
"""
