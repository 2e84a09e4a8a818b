"""What is fetched or made once and kept: models of the Hugging Face hub, and what is converted from them."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from textpro.errors import BundleError


def fetched(name: str, *, kind: str, files: Sequence[str], ignored: Sequence[str] = ()) -> Path:
    """The directory of a model of the hub, with those of its files that match `files`.

    kind: what the name was to stand for, in the words of the error. Raises BundleError when there is no such model, or
    the hub can't be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(files), ignore_patterns=list(ignored)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise BundleError(
            f"no {kind} {name!r}: expected 'embedded', a directory, or a model on the Hugging Face hub "
            f"({type(error).__name__}: {error})"
        ) from error


def made_once(target: Path, make: Callable[[Path], None]) -> Path:
    """The directory `target`, filled by `make` when it is not there yet; processes that want it at once share one.

    It is made aside and moved in one step: a process that dies half-way leaves nothing that looks whole. Who may read
    it, the umask says.
    """
    from filelock import FileLock

    if target.is_dir():  # another user's, whose lock is not ours to take
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.is_dir():
            with tempfile.TemporaryDirectory(prefix=".making-", dir=target.parent, ignore_cleanup_errors=True) as aside:
                made = Path(aside, target.name)  # the directory around it is for its owner alone
                made.mkdir()
                make(made)
                made.rename(target)
    return target
