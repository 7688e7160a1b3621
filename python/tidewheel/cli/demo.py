"""The command `tidewheel demo`: a folder of its own, the services it needs, the rehearsal of a year, and what to look at.

The flows are imported after Prefect's address and home are set, since Prefect reads its settings when it is imported.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from tidewheel.cli.progress import drawn
from tidewheel.errors import InputError
from tidewheel.lifecycle.story import Story, summary
from tidewheel.lifecycle.workplace import services_folder
from tidewheel.operations.folders import LOCK_FILE
from tidewheel.operations.progress import announce
from tidewheel.operations.runfile import RUN_FILE, Run, end_former, reap, signals_held
from tidewheel.operations.services import (
    PREFECT,
    prefect_environment,
    start_prefect,
    start_ray,
    wait_prefect,
    wait_ray,
)
from tidewheel.report.months import months_table
from tidewheel.report.page import write_page
from tidewheel.report.terminal import print_view

MARKER = ".tidewheel-demo"
"""File that says that a folder is a demo's own, and may be emptied by the next one."""

FIRST_UTC = datetime(2013, 4, 1, 4, tzinfo=UTC)
"""First deployment: midnight of 1 April in New York, so that no day is cut in two."""

LAST_UTC = datetime(2014, 1, 1, 5, tzinfo=UTC)
"""End of the year that the data cover, likewise."""

LAST_QUICK_UTC = datetime(2013, 9, 1, 4, tzinfo=UTC)
"""End of the year with `--quick`: the first rollout, the first retraining and the second rollout are in it."""

DRAWS_QUICK = 300
"""Bootstrap draws with `--quick`; the project file says how many otherwise."""


def run_demo(out: Path, *, quick: bool, keep_serving: bool, seed: int) -> int:
    """Run the whole demo in folder `out` and print what it showed.

    Raises:
        InputError: `out` cannot be made or written, or holds something that is not an earlier demo's.
        ServiceError: a service did not start.
    """
    folder = take_folder(out)
    began = time.monotonic()
    with drawn(), services(folder, keep=keep_serving):
        write_project(folder, quick=quick, seed=seed)
        from tidewheel.flows import rehearsal  # Prefect reads its address when it is imported

        started = time.monotonic()
        story = rehearsal(str(folder), FIRST_UTC, LAST_QUICK_UTC if quick else LAST_UTC)
    story = replace(story, seconds_start_up=started - began)
    write_results(folder, story)
    print_results(folder, story, keep_serving=keep_serving)
    return 0


def take_folder(out: Path) -> Path:
    """Make the demo's folder, or take over that of an earlier demo: end what it left running and empty it.

    Raises:
        InputError: it cannot be written, is not a demo's, or a demo is at work in it.
    """
    folder = out.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_ours = (folder / MARKER).exists()
        if not is_ours and any(folder.iterdir()):
            raise InputError(f"{folder} is not empty and no earlier demo's; give another folder with --out")
        (folder / MARKER).write_text(
            "made by `tidewheel demo`, which may empty this folder\n", encoding="utf-8"
        )
        for ended in end_former(services_folder(folder)):
            announce("clean up", ended)
        # From here on another demo is refused, which would empty the folder under this one.
        run = Run.begin(services_folder(folder))
        own = (folder / MARKER, run.folder / RUN_FILE, run.folder / LOCK_FILE, run.own)
        empty(folder, frozenset(own))
    except OSError as error:
        raise InputError(
            f"cannot write in {folder}: {error.strerror}; give another folder with --out"
        ) from error
    return folder


def empty(folder: Path, kept: frozenset[Path]) -> None:
    """Remove everything below `folder` except `kept` and the folders that these are in."""
    for path in folder.iterdir():
        if path in kept:
            continue
        if any(path in one.parents for one in kept):
            empty(path, kept)
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def write_project(folder: Path, *, quick: bool, seed: int) -> None:
    """Copy the worked example's project file, with the seed asked for and fewer draws if it shall be quick."""
    text = (files("tidewheel.examples.flights") / "tidewheel.toml").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^seed = \d+$", f"seed = {seed}", text)
    if quick:
        text = re.sub(r"(?m)^bootstrap_draws = \d+$", f"bootstrap_draws = {DRAWS_QUICK}", text)
    (folder / "tidewheel.toml").write_text(text, encoding="utf-8")


@contextmanager
def services(folder: Path, *, keep: bool) -> Iterator[None]:
    """Start a Ray head and a Prefect server of the demo's own, side by side; end both when the block ends.

    With `keep` the Ray head stays if it ended well; the Prefect server is for this command alone.
    """
    home = services_folder(folder)
    run, is_kept = Run.begin(home), False
    try:
        announce("start", "Prefect server and Ray head")
        start_ray(run)
        start_prefect(run)
        os.environ.update(prefect_environment(run))
        wait_prefect(run)
        wait_ray(run)
        yield
        is_kept = keep
    finally:
        with signals_held():
            announce("stop", "Prefect server" if is_kept else "everything that was started")
            reap(home, only=PREFECT if is_kept else None)


def write_results(folder: Path, story: Story) -> None:
    """Write `summary.json` and `report.html`."""
    text = json.dumps(summary(story), indent=2, allow_nan=False)
    write_page(story, folder / "report.html")
    try:
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {folder / 'summary.json'}: {error.strerror}") from error


def print_results(folder: Path, story: Story, *, keep_serving: bool) -> None:
    """Print the year's table, the gain, and where to look next."""
    print_view(months_table(story.card, story.findings, story.decisions, story.names))
    gain, counts = story.card.gain, story.requests
    print_view(
        f"Mean gain of the loop from month {story.card.gain_from_month} on: [bold]{gain.value:+.4f} AUC[/], "
        f"95 % interval {gain.low:+.4f} to {gain.high:+.4f}, clustered by day."
    )
    print_view(
        f"{counts.answered:,} of {counts.sent:,} requests answered, {counts.errors} errors, {counts.logged:,} in the log. "
        f"Start-up {story.seconds_start_up:.0f} s, work {story.seconds_work:.0f} s."
    )
    print_view(
        f"Look at {folder / 'report.html'} and {folder / 'summary.json'}; ask `tidewheel evidence -p {folder}`."
    )
    if keep_serving:
        print_view(f"The server still answers; `tidewheel serve down -p {folder}` stops it.")
