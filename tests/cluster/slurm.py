"""A real SLURM of one node on loopback: munge, slurmctld and slurmd of the system's packages, in a folder of its own.

python -m tests.cluster.slurm COMMAND…      # runs a command inside it: `sinfo`, say, or a shell
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.pipeline.conftest import free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
PATHS = f"{os.environ['PATH']}:/usr/sbin:/sbin"
CONFIG = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
# cred_expire: what is requeued waits for as long.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
KillWait=20
SchedulerParameters=batch_sched_delay=0,sched_interval=1
JobFileAppend=1
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 Gres=gpu:4 State=UNKNOWN
PartitionName=normal Nodes={host} Default=YES MaxTime=INFINITE PriorityTier=1 OverSubscribe=NO State=UP
PartitionName=urgent Nodes={host} MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF State=UP
"""


def missing() -> str | None:
    """Why there can be no SLURM here, or None."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=PATHS) is None]
    return f"no {absent[0]}: install slurmctld, slurmd, slurm-client and munge" if absent else None


class Slurm:
    """A cluster of one node with eight cores and four GPUs, all make-believe, for the length of a `with` block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def around(self, environment: Mapping[str, str]) -> dict[str, str]:
        """An environment whose commands reach this cluster."""
        path = f"{self.folder}/bin:{environment['PATH']}:{PATHS}"
        return {**environment, "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def __enter__(self) -> "Slurm":
        host, user = socket.gethostname().split(".")[0], self.folder.owner()
        for name in ("bin", "state", "spool"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        text = CONFIG.format(folder=self.folder, host=host, user=user, ports=(free_port(), free_port()))
        (self.folder / "slurm.conf").write_text(text)
        for name in ("gpu0", "gpu1", "gpu2", "gpu3"):
            (self.folder / name).touch()
        (self.folder / "gres.conf").write_text(f"Name=gpu File={self.folder}/gpu[0-3]\n")
        # Snakemake's plugin keeps SLURM_CONF from srun, which would look for a cluster's own.
        srun = self.folder / "bin" / "srun"
        srun.write_text(
            f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which("srun", path=PATHS)} "$@"\n'
        )
        srun.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        names = {name: f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "log", "pid", "seed")}
        try:
            self.start("munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *names.values())
            self.start("slurmctld", "-D", "-i")
            self.start("slurmd", "-D", "-N", host)
            self.wait_until(lambda: "idle" in self.run("sinfo", "-h", "-o", "%t", check=False))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self.alive():
            self.run("scancel", "--user", self.folder.owner(), check=False)
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()

    def start(self, program: str, *options: str) -> None:
        """Start a daemon in the foreground, its words in a log."""
        with (self.folder / f"{program}.out").open("wb") as log:
            command = [shutil.which(program, path=PATHS) or program, *options]
            environment = self.around(os.environ)
            self.processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))

    def alive(self) -> bool:
        """Whether all daemons run."""
        return all(process.poll() is None for process in self.processes)

    def run(self, *command: str, check: bool = True) -> str:
        """What a command of SLURM's prints."""
        environment = self.around(os.environ)
        return subprocess.run(
            command, env=environment, check=check, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ).stdout

    def wait_until(self, ready: Callable[[], bool], seconds: float = 60) -> None:
        """Wait for something to become true; RuntimeError with the logs where it does not."""
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end or not self.alive():
                logs = sorted([*self.folder.glob("*.out"), *self.folder.glob("*.log")])
                raise RuntimeError("\n".join(f"{log.name}: {log.read_text()[-1500:]}" for log in logs))
            time.sleep(0.2)


if __name__ == "__main__":
    if (why := missing()) is not None:
        sys.exit(why)
    with tempfile.TemporaryDirectory() as folder, Slurm(Path(folder)) as slurm:
        sys.exit(subprocess.run(sys.argv[1:], check=False, env=slurm.around(os.environ)).returncode)
