"""cuBLAS 12 for CTranslate2, which opens it by name alone; PyTorch brings that of its own CUDA, perhaps another."""

import ctypes
import importlib.util
from collections.abc import Callable
from pathlib import Path

from textpro.errors import BundleError

LIBRARIES = ("libcublasLt.so.12", "libcublas.so.12")  # the second wants the first
PACKAGE = "nvidia-cublas-cu12"


def _open(name: str) -> object:
    return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)


def load_cublas(open_library: Callable[[str], object] = _open) -> None:
    """From the package nvidia-cublas-cu12 where it is installed, else from where the system looks.

    A library that is loaded is found by its name from then on. Raises BundleError when it is in neither place.
    """
    packages = importlib.util.find_spec("nvidia")
    folders = [Path(place) / "cublas" / "lib" for place in (packages and packages.submodule_search_locations) or ()]
    for name in LIBRARIES:
        found = [str(folder / name) for folder in folders if (folder / name).is_file()]
        try:
            open_library(found[0] if found else name)
        except OSError as error:
            raise BundleError(
                f"CTranslate2 needs cuBLAS 12 on a GPU, which is not here ({error}): pip install '{PACKAGE}>=12.4,<13'"
            ) from error
