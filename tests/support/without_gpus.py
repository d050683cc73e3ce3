"""Lets PyTorch be imported without most of its libraries for GPUs: `python -m tests.support.without_gpus`, once.

PyTorch for Linux loads 2 GB of libraries that nothing calls where there is no GPU. A link to one of PyTorch's own takes
the place of each, and functions are looked up when they are called, in every process of this environment. Libraries
that are there are found before their links.
"""

import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

# What libraries of torch 2.15 name; those that have data, which cannot wait, are in the files of requirements.
LIBRARIES = (
    "libcublas.so.13",
    "libcublasLt.so.13",
    "libcudnn.so.9",
    "libcufft.so.12",
    "libcufile.so.0",
    "libcupti.so.13",
    "libcusparse.so.12",
    "libcusparseLt.so.0",
    "libnccl.so.2",
    "libnvrtc.so.13",
)


def main() -> None:
    """Makes the links, and what each process of this environment runs when it starts."""
    torch = find_spec("torch")
    if torch is None or torch.origin is None:
        sys.exit("there is no torch; install a file of requirements that has it first")
    for library in LIBRARIES:
        link = Path(torch.origin).parent / "lib" / library
        link.unlink(missing_ok=True)
        link.symlink_to("libc10.so")
    start = Path(sysconfig.get_path("purelib")) / "without_gpus.pth"
    start.write_text("import os, sys; sys.setdlopenflags(os.RTLD_LAZY)\n")


if __name__ == "__main__":
    main()
