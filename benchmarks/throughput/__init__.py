"""Whole builds against a plain loop over the same functions, and against other tools (docs/performance.md).

```
corpus        the raw files, a tokenizer and a quality model
recipes       what is built of them: conditioned (all steps), tokens (what other tools do, too)
plain_loop    the same steps in one thread and without Beam: the limit
peers         datatrove and dolma, each in an environment of its own
measuring     a command's time, processor time, memory and input and output, with those of all its processes
results       tables, ratios, results.json
picture       results.svg
```

`python -m benchmarks.throughput --help` has the options.
"""
