import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from dna_ray.cli.interrupt import Interrupt
from dna_ray.cli.progress import Display, Lines, Nothing, Screen, Terminal
from dna_ray.cli.tally import Tally, Whole
from dna_ray.verbs.progress import Progress, Silent


def work(progress: Progress) -> None:
    """What a verb does."""
    progress.expect({"load": 1, "train": 3})
    progress.opened(Path("runs/x"))
    with progress.stage("load"):
        pass
    with progress.stage("train", total=40, done=10) as stage:
        for step in range(30):
            stage.advance(1, loss=1 / (1 + step), r2=0.5 - abs(step - 20) / 100)
    progress.note("all done")


def test_lines_tell_each_stage_with_its_last_and_best_figures():
    lines: list[str] = []
    with Display(Lines(lines.append, title="mine"), Interrupt(patient=False)) as progress:
        work(progress)
    told = [line.split("] ", 1)[1] for line in lines]
    assert told[0] == "run folder: runs/x"
    assert told[1].startswith("train done: 40/40 steps, ")
    assert told[1].endswith("loss 0.03333  r2 0.41 (best 0.5)")
    assert told[2] == "all done"
    assert len(told) == 3  # loading was too brief to tell


def test_lines_go_on_while_a_stage_stands_still():
    lines: list[str] = []
    with Display(Lines(lines.append, title="mine", every=0.01), Interrupt(patient=False)) as progress:
        while not lines:
            time.sleep(0.01)
        progress.expect({"train": 1})
        with progress.stage("train", total=8) as stage:
            stage.advance(2, loss=0.5)
            lines.clear()
            while not lines:
                time.sleep(0.01)
            running = lines[-1]
    assert "train: 2/8 steps, " in running
    assert " left, loss 0.5, 25% of the whole" in running


def test_a_terminal_shows_bars_and_keeps_a_line_of_each_stage():
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    with Display(Terminal(console, title="mine"), Interrupt(patient=False)) as progress:
        assert "starting" in stream.getvalue()  # the first sign of life comes before any work
        work(progress)
    told = stream.getvalue()
    assert "train done: 40/40 steps" in told
    assert "all done" in told
    assert "mine" in told


def test_nothing_is_shown_when_quiet(capsys: pytest.CaptureFixture[str]):
    with Display(Nothing(), Interrupt(patient=False)) as progress:
        work(progress)
    work(Silent())
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("screen", [Nothing(), Lines(lambda line: None, title="mine")], ids=["nothing", "lines"])
def test_a_display_says_when_to_stop_and_knows_the_run(screen: Screen):
    interrupt = Interrupt(patient=True)
    with Display(screen, interrupt) as progress:
        assert not progress.stopping
        interrupt.received = 2
        assert progress.stopping
        progress.opened(Path("x"))
        assert progress.run == Path("x")


def test_a_failed_stage_is_not_told_as_done():
    lines: list[str] = []

    def fail(progress: Progress) -> None:
        with progress.stage("train"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Display(Lines(lines.append, title="mine"), Interrupt(patient=False)) as p:
        fail(p)
    assert lines == []


def test_throughput_does_not_count_what_an_earlier_run_did():
    tally = Tally("train", 100, "step", started=0.0, done=50, before=50)
    tally.advance(10)
    assert tally.rate(5.0) == 2.0
    assert tally.seconds_left(5.0) == 20.0
    assert tally.share == 0.6


def test_a_stage_without_an_end_has_no_time_left():
    tally = Tally("load", None, "tensor", started=0.0)
    assert tally.count() == ""
    tally.advance(3)
    assert tally.count() == "3 tensors"
    assert tally.seconds_left(1.0) is None


def test_the_whole_adds_up_stages_by_their_shares_of_the_time():
    whole = Whole()
    assert whole.share(None) is None
    whole.expect({"load": 1, "train": 2, "measure": 1})
    train = Tally("train", 10, "step", started=0.0, done=5)
    assert whole.share(train) == 0.25
    whole.finish("load")
    assert whole.share(train) == 0.5
    whole.finish("train")
    whole.finish("measure")
    assert whole.share(train) == 1.0
    whole.expect({"encode": 1})
    assert whole.share(None) == 0.0
