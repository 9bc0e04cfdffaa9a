"""The one exception that a user's mistake ends in."""


class LatticeError(Exception):
    """A problem that the user can mend: where it is, what is wrong, what to do.

    The command line prints it as three short lines and exits with status 2; it never prints a stack trace.
    """

    def __init__(self, place: str, problem: str, remedy: str) -> None:
        super().__init__(f"{place}: {problem} {remedy}")
        self.place = place
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.place}\n  {self.problem}\n  {self.remedy}"
