"""The processes of one run, as torchrun starts them; a run that it did not start is alone."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Never, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from lattice_model.loading.mixing import Share
from schemas.errors import LatticeError

T = TypeVar("T")

_BY_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_LOST = ("gloo", "NCCL", "Connection closed", "Connection reset", "Socket", "Broken pipe")
"""Of which an error speaks if another process has gone."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """The processes that take the steps of a run together: this one's number, and how many there are.

    The methods are called by all of them, in the same order; alone they give back what they are given.
    """

    rank: int = 0
    ranks: int = 1
    local_ranks: int = 1
    """How many are on this machine."""
    distributed: bool = False
    """Whether torchrun started this process, be it the only one."""

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    @property
    def share(self) -> Share:
        """Which rows of every batch come here."""
        return Share(self.rank, self.ranks)

    @property
    def device(self) -> torch.device:
        """What this process computes on."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", int(os.environ["LOCAL_RANK"])) if self.distributed else torch.device("cuda")

    def sum(self, value: Tensor) -> Tensor:
        """The sum of all processes' tensors, which have one shape."""
        if self.distributed:
            dist.all_reduce(value := value.clone())
        return value

    def first_s(self, value: T) -> T:
        """What the first process gave."""
        if not self.distributed:
            return value
        dist.broadcast_object_list(box := [value], src=0)
        return box[0]

    def gathered(self, value: T) -> list[T] | None:
        """What every process gave, in their order, in the first one; None in the others."""
        if not self.distributed:
            return [value]
        found: list[Any] | None = [None] * self.ranks if self.first else None
        dist.gather_object(value, found, dst=0)
        return found


ALONE = Group()


@contextmanager
def connected() -> Iterator[Group]:
    """The group that torchrun's environment describes, for as long as the block runs; ``ALONE`` without one.

    What one process raises ends it, which all others see as a lost connection: they end too, with a message of their
    own. So does one that is asked to end (SIGTERM), as torchrun asks all if one has failed.

    Raises:
        LatticeError: another process was lost, or this one was asked to end.
    """
    if not all(name in os.environ for name in _BY_TORCHRUN):
        yield ALONE
        return
    ranks = int(os.environ["WORLD_SIZE"])
    group = Group(
        rank=int(os.environ["RANK"]),
        ranks=ranks,
        local_ranks=int(os.environ.get("LOCAL_WORLD_SIZE", ranks)),
        distributed=True,
    )
    place = f"training, process {group.rank} of {group.ranks} (from 0)"

    def ended(number: int, frame: FrameType | None) -> Never:
        raise _stopped(place, "It was asked to end.")

    before = signal.signal(signal.SIGTERM, ended)
    try:
        if group.device.type == "cuda":
            torch.cuda.set_device(group.device)
        dist.init_process_group("nccl" if group.device.type == "cuda" else "gloo")
        yield group
    except (RuntimeError, dist.DistError) as error:
        if not isinstance(error, dist.DistError) and not any(word in str(error) for word in _LOST):
            raise
        raise _stopped(place, "The connection to another process was lost.") from error
    finally:
        signal.signal(signal.SIGTERM, before)
        if dist.is_initialized():
            dist.destroy_process_group()


def _stopped(place: str, problem: str) -> LatticeError:
    return LatticeError(
        place,
        f"{problem} A run ends with all its processes as soon as one of them has.",
        "See above why one has ended; the same command, with as many processes or others, goes on from the last state.",
    )
