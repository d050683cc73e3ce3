"""How elements travel between processes: a record batch as an Arrow IPC stream, schema metadata included.

Without this, Beam pickles a batch with its parent's whole buffers: a one-row slice of a 400 kB batch takes 400,237
bytes pickled, and a few hundred here.
"""

import apache_beam as beam
import pyarrow as pa

from byline.schemas.documents import InputFile


class RecordBatchCoder(beam.coders.Coder):
    """`pa.RecordBatch` <-> an IPC stream of one batch."""

    def encode(self, value: pa.RecordBatch) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as writer:
            writer.write_batch(value)
        return sink.getvalue().to_pybytes()

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        return pa.ipc.open_stream(encoded).read_next_batch()

    def estimate_size(self, value: pa.RecordBatch) -> int:
        """Bytes in memory. Beam samples sizes on every edge, and would encode the batch to measure it."""
        return value.nbytes

    def is_deterministic(self) -> bool:
        return True

    def to_type_hint(self) -> type:
        return pa.RecordBatch


beam.coders.registry.register_coder(pa.RecordBatch, RecordBatchCoder)


class InputFileCoder(beam.coders.Coder):
    """`InputFile` <-> JSON."""

    def encode(self, value: InputFile) -> bytes:
        return value.to_json().encode()

    def decode(self, encoded: bytes) -> InputFile:
        return InputFile.from_json(encoded.decode())

    def is_deterministic(self) -> bool:
        return True

    def to_type_hint(self) -> type:
        return InputFile


beam.coders.registry.register_coder(InputFile, InputFileCoder)
