"""Benchmarks: ``python -m tests.benchmarks [NAME …] [--write]``.

Each returns a Markdown section; ``--write`` puts it into ``docs/benchmarks.md`` between its markers.
"""

from __future__ import annotations

import argparse
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks import (
    ablation,
    cli,
    cpu_network,
    demo,
    dicom_results,
    expected,
    importing,
    inference,
    planning,
    real,
    realism,
    recipes,
    shipped,
    synthesis,
    throughput,
    transfer_study,
    windows,
)
from tests.benchmarks.machine import machine

BENCHMARKS = {
    "cli": cli.run_benchmark,
    "import": importing.run_benchmark,
    "planning": planning.run_benchmark,
    "windows": windows.run_benchmark,
    "throughput": throughput.run_benchmark,
    "expected": expected.run_benchmark,
    "ablation": ablation.run_benchmark,
    "cpu-network": cpu_network.run_benchmark,
    "recipes": recipes.run_benchmark,
    "inference": inference.run_benchmark,
    "inference-agreement": inference.run_agreement,
    "inference-latency": inference.run_latency,
    "inference-memory": inference.run_memory,
    "dicom-seg": dicom_results.run_benchmark,
    "demo": demo.run_benchmark,
    "xca": real.xca,
    "xca-nnunet": real.xca_against_nnunet,
    "cxr": real.cxr,
    "zero-shot": shipped.zero_shot,
    "few-shot": shipped.few_shot,
    "transfer": shipped.transfer,
    "transfer-study": transfer_study.run_benchmark,
    "realism": realism.run_benchmark,
    "synthesis": synthesis.run_benchmark,
}
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Every table is written by the command above it. Times are wall seconds on the machine named; ratios compare both sides in
one run. Results on synthetic frames say that the program works, nothing about patients.
"""


def section(name: str, body: str) -> str:
    """A section with its markers, command, date and machine."""
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    return (
        f"<!-- begin {name} -->\n{body.strip()}\n\n"
        f"Command: `python -m tests.benchmarks {name} --write`. {date}, {machine()}.\n<!-- end {name} -->\n"
    )


def main() -> None:
    """Run the benchmarks that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], default=list(BENCHMARKS))
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    arguments = parser.parse_args()
    for name in arguments.names:
        text = section(name, BENCHMARKS[name]())
        sys.stdout.write(text + "\n")
        if arguments.write:
            page = PAGE.read_text() if PAGE.exists() else HEAD
            pattern = re.compile(rf"<!-- begin {name} -->.*<!-- end {name} -->\n", re.DOTALL)
            PAGE.write_text(pattern.sub(lambda _, t=text: t, page) if pattern.search(page) else f"{page}\n{text}")


if __name__ == "__main__":
    main()
