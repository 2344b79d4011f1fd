"""Profiles in the parent of a run: missing ones, the gangs that make them, and their files."""

from harness.journal.log import Journal
from harness.journal.plan import Case, Plan, Record
from harness.journal.protocol import Order, TraceNote, VisitNote
from harness.journal.records import CellRecord, ProfileRecord
from harness.journal.run_directory import RunDir, write_whole
from launch.launcher import Ending, Hear, Launcher


class Profiling:
    """Traces each case that was ok on the run's first side. A failure is reported, and fails no cell."""

    def __init__(self, run: RunDir, plan: Plan, journal: Journal, watch: Hear) -> None:
        """``watch`` receives every record and note, for the progress."""
        self._folder = run.profiles_path
        self._plan = plan
        self._journal = journal
        self._watch = watch
        self._done: set[tuple[int, str]] = set()
        self._well: set[tuple[int, str]] = set()
        for entry in run.entries():
            if isinstance(entry, ProfileRecord):
                self._done.add((entry.comparison, entry.case))
            elif isinstance(entry, CellRecord) and entry.status == "ok" and plan.side_of(entry.launch) == plan.sides[0]:
                self._well.add((entry.comparison, entry.case))
        before = [path.name.rpartition("-")[2] for path in (run.root / "logs").glob("profile-0-*")]
        self._attempt = max((int(number) + 1 for number in before if number.isdecimal()), default=0)
        """The number of the next gang, which names its ranks' logs."""
        self._visiting: VisitNote | None = None
        self._unwritten: str | None = None

    def order(self, scratch: str) -> Order | None:
        """The order for the next gang; None if nothing is missing."""
        todo = {index: tuple(self._missing(index)) for index in range(len(self._plan.comparisons))}
        if not any(todo.values()):
            return None
        return Order(
            plan=self._plan,
            launch=0,
            attempt=self._attempt,
            todo={index: cases for index, cases in todo.items() if cases},
            budget_s=0.0,
            fingerprint="",
            scratch=scratch,
            profile=True,
        )

    def _missing(self, index: int) -> list[Case]:
        asked = [case for case in self._plan.comparisons[index].cases if not (case.packed or case.probe)]
        return [case for case in asked if (index, case.key) in self._well - self._done]

    def run(self, launcher: Launcher, scratch: str) -> None:
        """Start gangs until every case has its profile, or a reason why not."""
        while order := self.order(scratch):
            before = len(self._done)
            ending = launcher.launch(order, self.hear)
            self._attempt += 1
            if ending and self._visiting:
                self._give_up(self._visiting.comparison, self._visiting.case, ending)
            if len(self._done) == before:
                for index, cases in order.todo.items():
                    for case in cases:
                        self._give_up(index, case.key, ending or Ending("error", "the gang reported nothing"))

    def hear(self, record: Record) -> None:
        """Write a gang's records and traces."""
        if isinstance(record, TraceNote):
            self._write(record)
        elif isinstance(record, ProfileRecord):
            self._record(record)
        else:
            self._visiting = record if isinstance(record, VisitNote) else self._visiting
            self._watch(record)

    def _write(self, trace: TraceNote) -> None:
        try:
            self._folder.mkdir(exist_ok=True)
            write_whole(self._folder / trace.file, trace.content)
        except OSError as error:
            self._unwritten = f"{trace.file} could not be written: {error.strerror}"

    def _record(self, record: ProfileRecord) -> None:
        if self._unwritten:
            record = record.model_copy(update={"files": (), "bytes": 0, "steps": 0, "message": self._unwritten})
            self._unwritten = None
        self._done.add((record.comparison, record.case))
        self._journal.append(record)
        self._watch(record)

    def _give_up(self, comparison: int, case: str, ending: Ending) -> None:
        if (comparison, case) not in self._done:
            self._record(ProfileRecord(comparison=comparison, case=case, message=ending.message))
