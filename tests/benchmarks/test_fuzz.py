"""A few hundred cases of the fuzzer, the same in every run; what it reports of a fault."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("target", "cases"), [("tables", 200), ("models", 100), ("yaml", 60)])
def test_no_fault(tmp_path: Path, target: str, cases: int) -> None:
    command = [sys.executable, "-m", "benchmarks.fuzz", "--target", target, "--cases", str(cases), "--seed", "5"]
    ended = subprocess.run(
        [*command, "--keep", tmp_path / "kept"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{cases:,} cases" in ended.stdout
    assert "refused" in ended.stdout
    assert not (tmp_path / "kept").exists()
