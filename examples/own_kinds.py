"""A recipe that names a filter, a formatter and a template field of your own (cookbook.py), built and verified.

```
python examples/own_kinds.py OUT

OUT/raw/part-0.jsonl   {"title": ..., "url": ..., "text": ...}     made here
OUT/recipe.yaml        formatter: cookbook:with_title, filter: cookbook:is_finished, template: {cookbook:SECTION}
OUT/shards             what a trainer reads
```
"""

import json
import subprocess
import sys
from pathlib import Path

from sample_data import EOS, write_documents, write_tokenizer
from tokenizers import Tokenizer

import byline

RECIPE = """
sources:
  kitchen:
    format: jsonl
    path: {out}/raw/*.jsonl
    max_rejected: 5%
    keep: [title]
    formatter: {{name: "cookbook:with_title", mark: "# "}}
filter:
  - function: {{call: "cookbook:is_finished", name: finished}}
tokenizer: {{file: {out}/tokenizer.json, eos: "{eos}"}}
sequence: {{length: 128}}
phases:
  - {{name: only, share: 1, condition: {{template: "Section: {{cookbook:SECTION}}\\n"}}}}
store: {out}/store
output: {out}/shards
"""


def command(*arguments: str) -> None:
    """Runs `byline` in the folder of cookbook.py, where it looks for modules that are not installed."""
    program = [sys.executable, "-c", "from byline.pipelines.cli import main; main()"]
    subprocess.run([*program, *arguments], cwd=Path(__file__).parent, check=True)


def main() -> None:
    """Makes the data and the recipe in OUT, builds and verifies it, and shows its first document."""
    out = Path(sys.argv[1]).absolute()
    write_documents(out / "raw")
    texts = [json.loads(line)["text"] for file in sorted((out / "raw").iterdir()) for line in file.open()]
    write_tokenizer(out / "tokenizer.json", texts)
    (out / "recipe.yaml").write_text(RECIPE.format(out=out, eos=EOS), encoding="utf-8")
    command("build", str(out / "recipe.yaml"))
    command("verify", str(out / "shards"))
    row = byline.open(out / "shards")[0]
    ids, mask, length = row["input_ids"], row["loss_mask"], row["seq_lengths"][0]
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    print("first document:", repr(tokenizer.decode(ids[:length].tolist())))
    print("of it trained:", repr(tokenizer.decode(ids[:length][mask[:length] == 1].tolist())))


if __name__ == "__main__":
    main()
