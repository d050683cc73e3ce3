"""Mixtures that are found by training: DoReMi, Skill-it, swarms of proxies.

```yaml
arms:
  doremi:   {find: {method: doremi, tokens: 500K, steps: 250}}
  skill_it: {find: {method: skill_it, tokens: 1M, steps: 500, rounds: 5}}
```

Each trains models of its own first, below OUT/found/ARM, computes weights from their losses as `byline weights` does,
and writes what that read and wrote beside the command. The arm is then built and trained like any other.
"""
