"""The crontab line of the guide: a time that cron takes, commands that exist, a second try, an alert; and two runs."""

import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from jobs.cli import COMMANDS, application
from schemas.space_file import load_space

GUIDE = Path(__file__).parents[2] / "docs" / "nightly.md"
FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
STUB = """\
#!/bin/sh
echo "$0 $*" >> "$LOG"
case "$1" in
  nightly) exit "$(sed -n "$(grep -c ' nightly ' "$LOG")p" "$ANSWERS")" ;;
  status) exit "$STATUS" ;;
esac
"""
HOLDER = """
    import sys
    from pipelines.warehouse import locked
    with locked(sys.argv[1], sys.argv[2]):
        print("held", flush=True)
        sys.stdin.read()
"""


@pytest.fixture(scope="module")
def entry() -> tuple[list[str], str]:
    """The five fields, and the command."""
    lines = [
        line for line in GUIDE.read_text().splitlines() if re.match(r"[\d*][\d*/,-]*(\s+[\d*][\d*/,-]*){4}\s", line)
    ]
    assert len(lines) == 1
    *fields, command = lines[0].split(None, 5)
    return fields, command


def _instants(field: str, least: int, most: int) -> set[int]:
    """The values that a field of crontab(5) names."""
    found: set[int] = set()
    for part in field.split(","):
        matched = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?", part)
        assert matched, part
        first, last, step = (int(group) if group else None for group in matched.groups())
        start, end = (least, most) if first is None else (first, first if last is None else last)
        found |= set(range(start, end + 1, step or 1))
    assert found <= set(range(least, most + 1)), field
    assert found, field
    return found


def test_cron_takes_the_time_and_it_is_once_a_day(entry: tuple[list[str], str]) -> None:
    minutes, hours, days, months, weekdays = (
        _instants(field, *limits) for field, limits in zip(entry[0], FIELDS, strict=True)
    )
    assert (len(minutes), len(hours)) == (1, 1)
    assert (len(days), len(months)) == (31, 12)
    assert len({day % 7 for day in weekdays}) == 7


def test_a_shell_takes_the_command_and_cron_leaves_it_as_it_is(entry: tuple[list[str], str]) -> None:
    subprocess.run(["/bin/sh", "-n", "-c", entry[1]], check=True)
    # To cron an unescaped % is the end of the line.
    assert "%" not in entry[1]


def test_every_command_of_the_line_exists_with_its_options(entry: tuple[list[str], str]) -> None:
    lexer = shlex.shlex(entry[1], posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    calls: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("();<>|&"):
            calls.append([])
        else:
            calls[-1].append(word)
    called = [call for call in calls if call[:1] == ["lattice"]]
    assert [call[1] for call in called] == ["nightly", "nightly", "status"]
    for _, name, *arguments in called:
        assert name in COMMANDS
        group: Any = get_command(application(name))
        context = group.commands[name].make_context(name, list(arguments))
        assert (context.params["space"], context.params["warehouse"]) == ("S", "W")


@pytest.mark.parametrize(
    ("nights", "status", "tries", "alert"), [("0", 0, 1, False), ("1 0", 0, 2, False), ("1 1", 3, 2, True)]
)
def test_a_night_that_fails_is_tried_again_and_one_that_is_overdue_says_so(
    entry: tuple[list[str], str], tmp_path: Path, nights: str, status: int, tries: int, alert: bool
) -> None:
    for name, text in (("lattice", STUB), ("sleep", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "answers").write_text("".join(f"{answer}\n" for answer in nights.split()))
    log = tmp_path / "log"
    answers = str(tmp_path / "answers")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "LOG": str(log), "ANSWERS": answers, "STATUS": str(status)}
    done = subprocess.run(
        ["/bin/sh", "-c", entry[1]], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert log.read_text().count(" nightly ") == tries
    assert log.read_text().count(" status ") == 1
    # Cron mails what a line says: nothing on a good day.
    assert bool(done.stdout) == alert, done
    assert ("overdue" in done.stdout) == alert


def test_a_night_that_finds_another_process_at_work_stops_and_names_it(tmp_path: Path) -> None:
    space = load_space("complete_journey").name
    holding = [sys.executable, "-c", textwrap.dedent(HOLDER), str(tmp_path), space]
    with subprocess.Popen(holding, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        night = [
            sys.executable,
            "-m",
            "jobs.nightly",
            "--space",
            space,
            "--warehouse",
            str(tmp_path),
            "--date",
            "2017-03-01",
        ]
        done = subprocess.run(night, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode != 0
        assert f"Another run (process {holder.pid}) is writing it" in done.stderr
        assert "Traceback" not in done.stderr
        assert [path.name for path in (tmp_path / space).iterdir()] == [".lock"]
        holder.communicate("")
