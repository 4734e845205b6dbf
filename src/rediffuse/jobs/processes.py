"""Several processes that do one job, on one machine: started and watched by PyTorch's elastic launcher,
as of torchrun.
"""

import contextlib
import datetime
import io
import logging
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any

import torch.distributed as dist

from rediffuse.errors import UserError

#: Seconds that a process which fails waits: where another one died, whose end it felt, the launcher ends it meanwhile.
ECHO = 3.0
#: Seconds that processes have to end after they were asked to; a training saves in these.
PATIENCE = 90
#: How a process ends that was asked to.
STOPPED = 130
#: Signals that ask a job to end.
HEARD = (signal.SIGTERM, signal.SIGUSR1)
#: What the command line tells in one line: it is raised again in the process that started them.
TOLD = (UserError, OSError, MemoryError)
#: What rank 0 leaves when it is done with the group: what others then miss is no failure.
OVER = "over"

#: Signals that asked this process to end, since `heed_later`.
asked: list[int] = []


def rank() -> int:
    """The number of this process among them: 0, 1, …"""
    return int(os.environ["RANK"])


def size() -> int:
    """How many they are."""
    return int(os.environ["WORLD_SIZE"])


def together(processes: int, work: Callable[..., Any], *given: Any) -> list[Any]:
    """What `work(meeting, *given)` gives in each of so many processes, by rank.

    `work` is a function of a module; `meeting` a folder of theirs, which is gone afterwards.
    They end with this process.

    Raises:
        UserError: one of them raised it (or OSError, MemoryError), or died; the others are ended.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # What it says of a death, in a dozen lines, is said below in one.
    for name in ("torch.distributed.elastic", "torch.multiprocessing.spawn"):
        log = logging.getLogger(name)
        log.addHandler(logging.NullHandler())
        log.propagate = False
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(PATIENCE))
    multiprocessing.set_forkserver_preload(["rediffuse.jobs.divided"])  # which takes seconds: once, not in each
    _start_helpers()
    with tempfile.TemporaryDirectory(prefix="rediffuse-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
            start_method="forkserver",
            signals_to_handle="SIGHUP",
        )
        before = signal.getsignal(signal.SIGHUP)
        try:
            found = elastic_launch(config, _process)(Path(folder), work, *given)
        except ChildFailedError as error:
            number, failure = error.get_first_failure()
            code = failure.exitcode
            if code == STOPPED:
                raise KeyboardInterrupt from None
            how = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"failed (exit code {code})"
            raise UserError(
                f"process {number} of {processes} (rank {number}, process {failure.pid}) {how}, "
                "and the others were ended; the same command goes on from what is saved"
            ) from None
        except SignalException:
            raise KeyboardInterrupt from None
        finally:
            signal.signal(signal.SIGHUP, before)
    for _, refusal in found.values():
        if refusal is not None:
            raise refusal
    return [found[number][0] for number in range(processes)]


def _start_helpers() -> None:
    """Start Python's own processes that stand between this one and those that share the work, deaf to `HEARD`.

    A cluster sends its signals to all processes of a job. Without these two, this process takes the others for dead
    while they save. What a process blocks as it starts another is blocked there, too.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    try:
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)  # which the line above undoes for SIGTERM
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _process(meeting: Path, work: Callable[..., Any], *given: Any) -> tuple[Any, Exception | None]:
    """What each process does: the work's result, or an error that is told in one line."""
    found: tuple[Any, Exception | None]
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # whoever started them hears it, too, and ends them
    try:
        with contextlib.redirect_stderr(io.StringIO()) if rank() else contextlib.nullcontext():  # one tells of progress
            found = work(meeting, *given), None
    except TOLD as error:
        found = None, error
    except KeyboardInterrupt:
        raise SystemExit(STOPPED) from None
    except Exception:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if not asked:
            time.sleep(ECHO)
            traceback.print_exc()
        raise SystemExit(1) from None
    # What follows waits for the others, whom the launcher may be ending.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if asked:
        raise SystemExit(STOPPED)
    return found


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(STOPPED)  # at once: what is written is whole, whenever


def heed_later() -> None:
    """From now on note in `asked` that this process was asked to end, and go on."""
    for number in HEARD:
        signal.signal(number, lambda number, _: asked.append(number))


@contextlib.contextmanager
def group(meeting: Path, device: str) -> Iterator[None]:
    """While the block runs, these processes are a group of torch.distributed's: over nccl on GPUs, else over gloo.

    It ends with rank 0: what others then miss is no failure, and ends their block.
    """
    over = meeting / OVER
    # One machine: they meet in a file and talk by way of its own network.
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)
    if loopback is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
    dist.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        init_method=f"file://{meeting}/store",
        rank=rank(),
        world_size=size(),
        timeout=datetime.timedelta(days=1),  # who dies is seen by the launcher: nobody is to be hurried
    )
    try:
        yield
    except BaseException as error:
        meant = isinstance(error, TOLD) or not isinstance(error, Exception)
        if rank() == 0 and meant:
            over.touch()
        if rank() == 0 or meant or not over.exists():
            raise
    else:
        if rank() == 0:
            over.touch()
    finally:
        dist.destroy_process_group()
