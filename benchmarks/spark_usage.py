"""What Spark spent, by its own counters: who reads them need not run alone on the machine, except for the seconds."""

from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict
from pyspark.sql import SparkSession


class Usage(BaseModel):
    """Sums over Spark's stages: executors' CPU (seconds), and bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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


@dataclass
class UsageMeter:
    """Remembers what each stage took; Spark itself forgets all but the last thousand, so ``look`` now and then."""

    spark: SparkSession
    _stages: dict[int, tuple[float, Usage]] = field(default_factory=dict)

    def look(self) -> None:
        """Take over the counters of the stages that have ended."""
        store = self.spark._jsc.sc().statusStore()
        none = self.spark.sparkContext._gateway.new_array(self.spark._jvm.double, 0)  # type: ignore[union-attr]
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

    def between(self, started: float, ended: float) -> Usage:
        """What the stages took that were submitted then (seconds since the epoch)."""
        self.look()
        found = (usage for submitted, usage in self._stages.values() if started <= submitted < ended)
        return sum(found, Usage())
