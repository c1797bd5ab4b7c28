"""What only a GPU can show, each part within its own time: python tests/on_a_gpu.py [PART ...] [--out DIR]

memory: one that is full. bench: steps against plain PyTorch. cuda: tests/test_cuda.py, with two GPUs where there are
two. course: notebook 05 under the gpu profile, its training cut after a minute. The first two want the GPU for
themselves. DIR/PART.txt holds what a part says, as it comes; DIR/parts.json
how each ended. Without a GPU the CUDA tests are skipped, and the course is too slow for its first line of history.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTEST = ["-m", "pytest", "-v", "-s", "-p", "no:cacheprovider", "-m", "slow or not slow"]
COURSE = ["-m", "srkit", "course", "--profile", "gpu", "--recipe", "srresnet_light", "--only", "05"]
COURSE += ["--set", "MAX_MINUTES=1", "--runs", "{out}/runs", "--figures", "{out}/figures"]
PARTS = {  # seconds at most, and what Python is to run
    "doctor": (60, ["-m", "srkit", "doctor"]),
    "memory": (60, [*PYTEST, "tests/test_cuda.py", "-k", "full_gpu"]),
    "bench": (200, [*PYTEST, "tests/benchmarks/test_speed.py", "-k", "test_step and not True"]),
    "cuda": (300, [*PYTEST, "tests/test_cuda.py", "-k", "not full_gpu"]),
    "course": (200, COURSE),
}


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; by default all")
    words.add_argument("--out", type=Path, default=ROOT / "build" / "on_a_gpu")
    given, ended = words.parse_args(), {}
    if unknown := set(given.parts) - PARTS.keys():
        words.error(f"unknown: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    given.out.mkdir(parents=True, exist_ok=True)
    for part in given.parts or PARTS:
        ended[part] = run(*PARTS[part], given.out.resolve(), part)
        (given.out / "parts.json").write_text(json.dumps(ended, indent=1) + "\n")
        print(f"{part}: {ended[part]}", flush=True)
    return int(any(status != "exit status 0" for status, _ in ended.values()))


def run(limit: float, command: list[str], out: Path, part: str) -> tuple[str, str]:
    """How it ended and after how long; after `limit` seconds all that it had started is stopped."""
    how = os.environ | {"SRKIT_BENCH_SECONDS": "3", "SRKIT_BENCH_JSON": f"{out}/bench.json", "PYTHONUNBUFFERED": "1"}
    began, command = time.monotonic(), [sys.executable, *(word.format(out=out) for word in command)]
    with (out / f"{part}.txt").open("w") as said:
        process = subprocess.Popen(command, cwd=ROOT, env=how, stdout=said, stderr=said, start_new_session=True)
        try:
            status = f"exit status {process.wait(limit)}"
        except subprocess.TimeoutExpired:
            status = "stopped"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return status, f"{time.monotonic() - began:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
