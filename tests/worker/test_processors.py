"""How many workers a machine takes: affinity, control groups and SLURM; and threads in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pando.worker import processors
from pando.worker.processors import THREAD_VARIABLES, count_cores, limit_threads


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "_count_schedulable", lambda: 64)


class Groups:
    """Control groups in a folder, as the kernel shows them."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "cgroup"
        self.own = folder / "own"
        self.root.mkdir()

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def count(self, environment: dict[str, str] | None = None) -> int:
        return count_cores(environment or {}, cgroups=self.root, own_cgroups=self.own)


@pytest.fixture
def groups(tmp_path: Path) -> Groups:
    return Groups(tmp_path)


def test_without_any_limit_all_that_may_be_scheduled_on(groups: Groups) -> None:
    assert groups.count() == 64


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("max 100000", 64)],
)
def test_version_2(groups: Groups, quota: str, cores: int) -> None:
    groups.own.write_text("0::/user.slice/job\n")
    groups.write("user.slice/job/cpu.max", quota)
    assert groups.count() == cores


def test_version_2_takes_the_least_on_the_way_up(groups: Groups) -> None:
    groups.own.write_text("0::/a/b\n")
    groups.write("a/b/cpu.max", "max 100000")
    groups.write("a/cpu.max", "300000 100000")
    groups.write("cpu.max", "800000 100000")
    assert groups.count() == 3


def test_in_a_container_the_topmost_group_is_its_own(groups: Groups) -> None:
    groups.own.write_text("0::/../../docker/4f2a\n")
    groups.write("cpu.max", "400000 100000")
    assert groups.count() == 4


@pytest.mark.parametrize(
    ("quota", "period", "cores"),
    [("300000", "100000", 3), ("-1", "100000", 64), ("100", "0", 64), ("x", "100000", 64)],
)
def test_version_1(groups: Groups, quota: str, period: str, cores: int) -> None:
    groups.own.write_text("5:memory:/job\n4:cpu,cpuacct:/job\n0::/\n")
    groups.write("cpu,cpuacct/job/cpu.cfs_quota_us", quota)
    groups.write("cpu,cpuacct/job/cpu.cfs_period_us", period)
    assert groups.count() == cores


@pytest.mark.parametrize(
    ("given", "cores"), [("3", 3), ("0", 1), ("", 64), ("many", 64), ("1000", 64)]
)
def test_slurm(groups: Groups, given: str, cores: int) -> None:
    assert groups.count({"SLURM_CPUS_PER_TASK": given}) == cores


def test_the_least_of_all_counts(groups: Groups) -> None:
    groups.own.write_text("0::/job\n")
    groups.write("job/cpu.max", "500000 100000")
    assert groups.count({"SLURM_CPUS_PER_TASK": "7"}) == 5
    assert groups.count({"SLURM_CPUS_PER_TASK": "4"}) == 4


def test_here_it_is_at_least_one_and_no_more_than_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    assert 1 <= count_cores() <= (os.cpu_count() or 1)


def test_threads_are_bounded_and_fewer_may_be_chosen() -> None:
    chosen = {"OMP_NUM_THREADS": "32", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "all"}
    limits = limit_threads(chosen, 4)
    assert set(limits) == set(THREAD_VARIABLES)
    assert limits["OMP_NUM_THREADS"] == "4"
    assert limits["MKL_NUM_THREADS"] == "1"
    assert limits["OPENBLAS_NUM_THREADS"] == "4"
    assert limits["POLARS_MAX_THREADS"] == "4"
    assert limit_threads({"OMP_NUM_THREADS": "2,1"}, 4)["OMP_NUM_THREADS"] == "2"
    assert limit_threads({"OMP_NUM_THREADS": "0"}, 4)["OMP_NUM_THREADS"] == "4"
