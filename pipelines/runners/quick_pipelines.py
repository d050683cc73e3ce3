"""Keeps what Beam works out again and again for each pipeline, a third of the CPU time of a small build.

```
options.view_as(TypeOptions)    for each transform: makes a parser of command lines, and parses the same one
get_dofn_specs(dofn)            several times for each step: reads the signature of each method of the DoFn
```

Both answers depend on no more than what they are kept by: the options, whose values all views share, and the DoFn's
class.
"""

from functools import cache, wraps
from typing import Any
from weakref import WeakKeyDictionary

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import userstate

Options = type[PipelineOptions]


@cache
def quicken() -> None:
    """Does so in this process from now on."""
    view_as, get_dofn_specs = PipelineOptions.view_as, userstate.get_dofn_specs
    views_of = WeakKeyDictionary[PipelineOptions, dict[Options, PipelineOptions]]()
    specs_of = dict[type, Any]()

    @wraps(view_as)
    def kept_view(options: PipelineOptions, kind: Options) -> PipelineOptions:
        views = views_of.setdefault(options, {})
        if kind not in views:
            views[kind] = view_as(options, kind)
        return views[kind]

    @wraps(get_dofn_specs)
    def kept_specs(dofn: Any) -> Any:
        kind = type(dofn)
        # Beam's own may hold a function, whose signature counts, too.
        if not kind.__module__.startswith("byline."):
            return get_dofn_specs(dofn)
        if kind not in specs_of:
            specs_of[kind] = get_dofn_specs(dofn)
        return specs_of[kind]

    vars(userstate)["get_dofn_specs"] = kept_specs
    setattr(PipelineOptions, "view_as", kept_view)  # noqa: B010
