"""Progress on standard error: it never gets in the way of the work."""

import os
import subprocess
import sys
import textwrap

WORK = """
    import sys
    from tidewheel.cli.progress import drawn
    from tidewheel.operations.progress import announce
    input()
    with drawn():
        for part in range(3):
            announce("work", f"part [{part}]", done=part, total=3)
    print("more words", file=sys.stderr)
    print("done")
"""


def test_work_goes_on_when_nobody_reads_its_progress() -> None:
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORK)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=writer,
        text=True,
    ) as worker:
        os.close(writer)
        os.close(reader)
        out, _ = worker.communicate("\n", timeout=60)
    assert (worker.returncode, out) == (0, "done\n")


def test_each_part_is_a_line_where_standard_error_is_no_terminal() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WORK)], input="\n", capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert [line.split(" s  ")[-1] for line in done.stderr.splitlines()] == [
        "work part [0]",
        "work part [1]",
        "work part [2]",
        "more words",
    ]
