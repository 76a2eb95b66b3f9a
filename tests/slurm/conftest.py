"""A slurm cluster of one node, this machine, with all its files in one folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

COMMANDS = ("sbatch", "srun", "squeue", "scancel", "sinfo", "scontrol")
PROGRAMS = ("munged", "slurmctld", "slurmd", *COMMANDS)
CONFIGURATION = """\
ClusterName=local
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={worker}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
MinJobAge=600
NodeName=localhost NodeAddr=127.0.0.1 CPUs=2 RealMemory=64000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Why no cluster can be started here; empty if one can."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if missing:
        return f"needs Debian's slurm-wlm and munge (not found: {', '.join(missing)})"
    if find_spec("snakemake_executor_plugin_slurm") is None:
        return "needs the extra slurm: pip install '.[slurm]'"
    return "" if os.geteuid() == 0 else "slurmd must be started by root"


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class Cluster:
    """Starts munged, slurmctld and slurmd on free ports of the loopback; `stop` ends them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.configuration = folder / "slurm.conf"
        self.environment = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin"}
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> Cluster:
        """Write the configuration, start the daemons and wait until the node is idle."""
        for name in ("state", "spool", "bin"):
            (self.folder / name).mkdir(parents=True)
        for name in COMMANDS:
            self._wrap(name)
        controller, worker = _free_ports(2)
        text = CONFIGURATION.format(folder=self.folder, controller=controller, worker=worker)
        self.configuration.write_text(text)
        self._start_munge()
        self._start("slurmctld", "-D")
        self._start("slurmd", "-D", "-N", "localhost")
        self.wait(lambda: "idle" in self.ask("sinfo", "--noheader", "--format=%T"), "the node to be idle")
        return self

    def stop(self) -> None:
        """End the daemons, the last first."""
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            daemon.wait(timeout=30)

    def ask(self, *command: str) -> str:
        """What a slurm command prints; empty while nobody answers."""
        done = subprocess.run(command, env=self._surroundings(), capture_output=True, text=True, check=False)
        return done.stdout

    def wait(self, condition: Callable[[], object], what: str, patience: float = 120.0) -> None:
        """Wait until `condition()` holds; raises TimeoutError with the ends of the daemons' logs."""
        limit = time.monotonic() + patience
        while not condition():
            if time.monotonic() > limit:
                logs = [path.read_text()[-2000:] for path in self.folder.glob("*.log")]
                raise TimeoutError(f"waited {patience:.0f} s for {what}\n" + "\n".join(logs))
            time.sleep(0.1)

    def _wrap(self, name: str) -> None:
        """A command that knows this cluster: Snakemake's plugin takes SLURM_CONF out of a job's environment."""
        script = self.folder / "bin" / name
        script.write_text(f'#!/bin/sh\nSLURM_CONF={self.configuration} exec {shutil.which(name)} "$@"\n')
        script.chmod(0o755)

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(64))
        key.chmod(0o400)
        files = {name: f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "pid", "log", "seed")}
        self._start("munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *files.values())
        self.wait(lambda: (self.folder / "munge.socket").exists(), "munged")

    def _start(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.out.log").open("wb") as log:
            daemon = subprocess.Popen(command, env=self._surroundings(), stdout=log, stderr=log)
        self._daemons.append(daemon)

    def _surroundings(self) -> dict[str, str]:
        return {"PATH": _path(), "SLURM_CONF": str(self.configuration)}


def _free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of this machine, or a skip that says what it lacks."""
    if lacking := why_not():
        pytest.skip(lacking)
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield cluster.start()
    finally:
        cluster.stop()
