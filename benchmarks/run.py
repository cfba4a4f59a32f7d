"""Runs all benchmarks, or those named, each in a process of its own.

``python benchmarks/run.py [NAME ...] [--quick]``
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Final

from measure import HEADER

#: In the order in which they are printed: the event path, the platform, the process.
NAMES: Final = (
    "wasm_ring",
    "wasm_product",
    "wasm_calls",
    "modelled",
    "chain",
    "instances",
    "nodes",
    "idle",
    "orchestration",
    "library",
    "actor_call",
    "startup",
    "fuel",
    "wire_tcp",
    "wire_grpc",
    "wire_idle",
    "wire_peers",
    "http_ingress",
)


def main() -> int:
    """Run them; 1 if one of them failed to run. A missed floor is no failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="fewer and shorter repeats")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    print(HEADER, flush=True)
    failed = []
    for name in options.names or NAMES:
        script = Path(__file__).with_name(f"{name}.py")
        command = [sys.executable, str(script), "--no-header", *(["--quick"] * options.quick)]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"did not run to their end: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
