"""``make bench``: see ``--help``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from tools.airflow_home import PROJECT
from tools.bench.picture import draw
from tools.bench.plan import CONTESTANTS, FLOOR, FORMATS
from tools.bench.report import as_markdown, as_text, machine_facts
from tools.bench.results import summarise
from tools.bench.runner import Wishes, timed
from tools.stage import run_to_the_end

_ROWS = (100_000, 1_000_000, 5_000_000)
_RUNS = 5


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='make bench ARGS="..."',
        description="Measure exports to S3 beside a raw copy and beside other tools, and write benchmark.md and benchmark.png.",
    )
    names = ", ".join(contestant.name for contestant in CONTESTANTS)
    parser.add_argument("--rows", type=_numbers, default=_ROWS, help="numbers of rows, with commas (%(default)s)")
    parser.add_argument("--runs", type=int, default=_RUNS, help="rounds of this provider and the floor (%(default)s)")
    parser.add_argument(
        "--peer-runs", type=int, default=3, help="rounds of the others, and of sizes other than 1,000,000 rows (%(default)s)"
    )
    parser.add_argument("--paced-runs", type=int, default=1, help="rounds with a request a second; 0 for none (%(default)s)")
    parser.add_argument("--only", type=_names([entry.name for entry in CONTESTANTS]), help=f"these, and the floor: {names}")
    parser.add_argument("--formats", type=_names(list(FORMATS)), default=list(FORMATS), help=", ".join(FORMATS))
    parser.add_argument("--out", type=Path, help="the directory to write to; docs for a full run, else build/bench")
    parser.add_argument("--json", type=Path, help="a file for all single runs")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(part.replace("_", "")) for part in text.split(",")}))


def _names(known: list[str]) -> type:
    def read(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name}: give some of {', '.join(known)}")
        return names

    return read  # type: ignore[return-value] # argparse takes any function


def main(arguments: list[str]) -> int:
    given = _parser().parse_args(arguments)
    names = [contestant.name for contestant in CONTESTANTS]
    wishes = Wishes(
        rows=given.rows,
        runs=given.runs,
        peer_runs=given.peer_runs,
        paced_runs=given.paced_runs,
        contestants=[FLOOR, *given.only] if given.only else names,
        formats=given.formats,
    )
    is_full = not arguments or set(arguments) == {"--json", str(given.json)}
    out: Path = given.out or PROJECT / ("docs" if is_full else "build/bench")
    facts = machine_facts(_dlt_version())
    outcome, minutes = timed(wishes)
    if given.json:
        document = {"facts": facts, "remarks": outcome.remarks, "runs": [asdict(run) for run in outcome.runs]}
        given.json.write_text(json.dumps(document, indent=1))
    lines = summarise(outcome.runs)
    out.mkdir(parents=True, exist_ok=True)
    # Where the single runs go is nobody's business.
    told = [each for each in arguments if each not in ("--json", str(given.json))]
    command = f'make bench ARGS="{" ".join(told)}"' if told else "make bench"
    page = as_markdown(lines, command=command, minutes=minutes, remarks=outcome.remarks, facts=facts)
    (out / "benchmark.md").write_text(page)
    has_picture = draw(lines, out / "benchmark.png")
    print(as_text(lines))
    for fact in facts:
        print(fact)
    for remark in outcome.remarks:
        print(f"\n{remark}", file=sys.stderr)
    print(f"\n{out / 'benchmark.md'}{' and benchmark.png' if has_picture else ''}, after {minutes:.0f} minutes")
    return 1 if outcome.remarks else 0


def _dlt_version() -> list[str]:
    for contestant in CONTESTANTS:
        if contestant.name == "dlt_pipeline" and contestant.python.exists():
            code = "from importlib.metadata import version; print('dlt', version('dlt'))"
            done = subprocess.run([str(contestant.python), "-c", code], capture_output=True, text=True, check=False)
            return [done.stdout.strip()] if done.returncode == 0 else []
    return []


def _run(_: ExitStack) -> int:
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run_to_the_end(_run))
