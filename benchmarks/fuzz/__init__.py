"""Fuzzing: files that somebody made or damaged, given to what reads them, in processes that may die.

```
python -m benchmarks.fuzz --target models --seconds 600 --seed 7

models    seed 7    12,345 cases in 600 s    accepted 1,204  refused 11,141
yaml      seed 7     3,310 cases in 600 s    accepted   204  refused  3,105  traceback 1     kept: out/fuzz/yaml-7-2119
```

A case is a number: with the target and the seed it decides the file's bytes (`make` of a target), which are written and
read (`read`) in a process of bounded memory and time. Accepted means read without a complaint, refused one line that a
terminal shows as it is. Anything else is a fault: its file is kept, and the exit status is 1.
"""
