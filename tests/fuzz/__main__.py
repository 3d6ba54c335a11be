"""Tries a fuzz target on drawn inputs: `python -m tests.fuzz MODULE:TARGET --seed N --count N`."""

import argparse
import sys
from collections.abc import Sequence

from tests.fuzz import driver


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints seed, counts and findings; returns 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", help="such as tests.fuzz.picture_targets:jpeg_picture")
    parser.add_argument("--seed", type=int, default=0, help="the first number (default: 0)")
    parser.add_argument("--count", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--seconds", type=float, default=driver.SECONDS, help="for each input")
    parser.add_argument("--mebibytes", type=int, default=driver.MEBIBYTES, help="of memory")
    flags = parser.parse_args(arguments)
    numbers = range(flags.seed, flags.seed + flags.count)
    report = driver.run(flags.target, numbers, flags.seconds, flags.mebibytes)
    tried = report.outcomes.total() + len(report.findings)
    print(f"{flags.target}: {tried:,} inputs from seed {flags.seed}")
    for outcome, count in report.outcomes.most_common():
        print(f"  {outcome}: {count:,}")
    for number, what, detail in report.findings:
        print(f"  FOUND by seed {number}: {what}: {detail}")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
