"""`python -m services.contracts.generate` writes the Python of encoder.proto; `--check` proves there is no drift.

Needs grpcio-tools, which the services themselves do not.
"""

import argparse
import sys
import tempfile
from pathlib import Path

PROTO = "services/contracts/encoder.proto"
WRITTEN = tuple(PROTO.replace(".proto", ending) for ending in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py"))
ROOT = Path(__file__).resolve().parents[2]


def generate(into: Path) -> None:
    """Writes the three files under `into`, at their places in the repository. Raises RuntimeError if protoc refuses."""
    import grpc_tools
    from grpc_tools import protoc

    well_known = Path(str(grpc_tools.__file__)).parent / "_proto"
    places = [f"--python_out={into}", f"--pyi_out={into}", f"--grpc_python_out={into}"]
    if protoc.main(["protoc", f"-I{ROOT}", f"-I{well_known}", *places, PROTO]) != 0:
        raise RuntimeError(f"protoc refused {PROTO}; its message is above")


def drift() -> list[str]:
    """The checked-in files that differ from what encoder.proto gives now."""
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        return [name for name in WRITTEN if _text(ROOT / name) != _text(Path(scratch) / name)]


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def main() -> int:
    """The command; 1 when --check finds drift."""
    parser = argparse.ArgumentParser(prog="python -m services.contracts.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the checked-in code is stale")
    if not parser.parse_args().check:
        generate(ROOT)
        return 0
    stale = drift()
    if stale:
        print(f"stale: {', '.join(stale)}; run `python -m services.contracts.generate`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
