"""A tiny Llama with random weights, for the examples; load your own in its stead."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import byline


def tiny_model(shards: byline.Shards) -> LlamaForCausalLM:
    """A model for the tokens of a build."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=shards.manifest.tokenizer["vocab_size"], **sizes))
