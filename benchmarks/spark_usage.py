"""What Spark spent, by its own counters: who reads them need not run alone on the machine, except for the seconds."""

import threading

from pyspark.sql import SparkSession

from benchmarks.results import Result
from jobs.watching import Watch


class Usage(Result):
    """Sums over Spark's stages: executors' CPU (seconds), and bytes."""

    cpu: float = 0.0
    read: int = 0
    shuffled: int = 0
    """Written to shuffle files."""
    spilled: int = 0
    """To disk."""
    written: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        mine, theirs = self.model_dump(), other.model_dump()
        return Usage(**{name: mine[name] + theirs[name] for name in mine})


class UsageMeter(Watch):
    """Remembers what each stage took while the block lasts; Spark itself forgets all but the last thousand stages."""

    def __init__(self, spark: SparkSession, seconds_between_looks: float = 20.0) -> None:
        super().__init__()
        self._spark, self._pause = spark, seconds_between_looks
        self._stages: dict[int, tuple[float, Usage]] = {}
        self._one_look = threading.Lock()

    def between(self, started: float, ended: float) -> Usage:
        """What the stages took that were submitted then (seconds since the epoch)."""
        self.look()
        found = (usage for submitted, usage in self._stages.values() if started <= submitted < ended)
        return sum(found, Usage())

    def look(self) -> float:
        """Take over the counters of the stages that have ended."""
        with self._one_look:
            self._take_over()
        return self._pause

    def _take_over(self) -> None:
        store = self._spark._jsc.sc().statusStore()
        none = self._spark.sparkContext._gateway.new_array(self._spark._jvm.double, 0)  # type: ignore[union-attr]
        stages = store.stageList(None, False, False, none, None)
        for position in range(stages.size()):
            stage = stages.apply(position)
            if stage.stageId() in self._stages or stage.completionTime().isEmpty():
                continue
            usage = Usage(
                cpu=stage.executorCpuTime() / 1e9,
                read=stage.inputBytes(),
                shuffled=stage.shuffleWriteBytes(),
                spilled=stage.diskBytesSpilled(),
                written=stage.outputBytes(),
            )
            self._stages[stage.stageId()] = (stage.submissionTime().get().getTime() / 1000, usage)
