"""Removes what killed builds left half written in a token store or an output."""

from byline.object_stores import is_object_address
from byline.transforms.files import storage


def clean_store(store: str, *, writes: bool) -> tuple[int, int]:
    """Removes unfinished files from a token store.

    Args:
        store: its folder.
        writes: whether the command is about to write to it. If not, an object store is left alone: a listing is a
            request, and all it could hold is lists of a few MB. On a disk unfinished runs are removed all the same: to
            a build that is started again at once they look too young, and it may be the last that writes anything.

    Returns:
        How many were removed, and how many bytes they had.
    """
    return storage.remove_unfinished(store) if writes or not is_object_address(store) else (0, 0)


def clean_output(output: str, *, is_finished: bool = False) -> tuple[int, int]:
    """Removes unfinished files from an output.

    An object store has none: a shard has no name there before it is whole.

    Args:
        output: its folder.
        is_finished: whether every shard is whole, so that an unfinished file is of an earlier try, however young.

    Returns:
        How many were removed, and how many bytes they had.
    """
    return (0, 0) if is_object_address(output) else storage.remove_unfinished(output, at_once=is_finished)
