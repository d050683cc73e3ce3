r"""Text guided by its metadata: one text with a host and without, and a model that follows the difference.

```
with      BOS  URL: numpy.example \n\n  An array is   log probabilities a    next token from b + scale * (a - b):
without   BOS  An array is                            log probabilities b    1 is a; above 1 the host counts more
```

`python examples/guided_generation.py OUT --host numpy.example --text "An array is"`, with the folder of a build that
has `{host}` in its template. The prompts need `tokenizers`; generating needs `torch` and `transformers`, too. The model
is made here, tiny and untrained, so that the script runs anywhere: it writes nonsense. Load your own in its stead.
"""

import argparse
import importlib.util

from tokenizers import Tokenizer

import byline


def main() -> None:
    """Prints the prompts, and what the model writes after them."""
    parser = argparse.ArgumentParser(description="Prompts with a host and without, and text guided by them.")
    parser.add_argument("out", help="folder of a build")
    parser.add_argument("--host", default="en.wikipedia.org")
    parser.add_argument("--text", default="The cat")
    parser.add_argument("--scale", type=float, default=1.5, help="1: as the host has it; more: the host counts more")
    arguments = parser.parse_args()

    manifest = byline.read_manifest(arguments.out)
    tokenizer = Tokenizer.from_file(manifest.config["tokenizer"]["file"])
    # As in training: what looks like a special token in a text is text, and nothing is cut or filled up.
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    pair = byline.prompt_pair(
        manifest,
        lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
        {"host": arguments.host},
        arguments.text,
    )
    print(f"with      {pair.conditioned.text!r}: {len(pair.conditioned.ids)} ids")
    print(f"without   {pair.without.text!r}: {len(pair.without.ids)} ids, {pair.way}")

    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"generated nothing: install {' and '.join(missing)}")
        return
    for scale in (1.0, arguments.scale):
        print(f"scale {scale}: {tokenizer.decode(generate(manifest, pair, scale))!r}")


def generate(manifest: byline.Manifest, pair: byline.PromptPair, scale: float, tokens: int = 20) -> list[int]:
    """The most likely next tokens of a tiny model with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = manifest.tokenizer
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=tokenizer["vocab_size"], **sizes)).eval()
    prompt, without = (torch.tensor([ids]) for ids in (pair.conditioned.ids, pair.without.ids))
    ids = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        negative_prompt_ids=without,
        negative_prompt_attention_mask=torch.ones_like(without),
        guidance_scale=scale,
        max_new_tokens=tokens,
        do_sample=False,
        eos_token_id=tokenizer["eos_id"],
        pad_token_id=tokenizer["pad_id"],
    )
    return ids[0, prompt.shape[1] :].tolist()


if __name__ == "__main__":
    main()
