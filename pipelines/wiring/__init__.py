"""The pipelines of the jobs: which steps they have.

```
jobs/prepare.py   nothing is missing    ->  done
                  files are missing     ->  imports wiring/prepare.py, and Beam with it: ListInputs | ... | WriteRuns
```

Beam takes a second and 100 MB to import, and most commands find nothing to run. So a job imports what is here once it
has something to run, and no module does at its top but those of this package.
"""
