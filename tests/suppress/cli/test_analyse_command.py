"""The analyses' figures, and `suppress analyse`, end to end on the embedded model."""

import csv
import sys

import pytest
from PIL import Image

from minisd import UserError
from minisd.cli import parameters
from suppress.analysis import ANALYSES, Study, open_study
from suppress.analysis.catalogue import Analysis
from suppress.analysis.output import write_csv
from suppress.analysis.sweeps import stop
from suppress.cli.analyse import main

PROMPT = "a man without glasses"
LONG = "a man with a beard wearing glasses and a beanie in a blue shirt"


class Grey(Study):
    """A study that draws nothing."""

    def draw(self, ctxs, start_step):
        return [self.originals for _ in ctxs]

    @property
    def originals(self):
        return [Image.new("RGB", (64, 64)) for _ in self.seeds]


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ANALYSES)
def test_figures_hold_all_their_text(sd, name):
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    s = open_study(sd, LONG, ["glasses", "a beanie"], [0, 2**62], steps=50)
    grey = Grey(s.sd, s.prompt, s.seeds, s.settings, s.origin, s.judge)
    analysis = ANALYSES[name]
    findings = stop(grey, settings=()) if name == "stop" else analysis.run(grey)
    figure = analysis.draw(findings, f"{LONG!r}: {analysis.about} ({analysis.source})")
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox()
    assert 0 <= box.x0 and 0 <= box.y0 and box.x1 <= width and box.y1 <= height
    assert bool(findings.panels) == (name not in ("leak", "moved", "singular", "distance"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_command(folder, capsys):
    job = [PROMPT, "--only", "leak", "zeroing", "--steps", "1", "--seed", "0", "1"]
    assert main(job) == 0
    out = capsys.readouterr().out
    assert "target: 'glasses' (negated in the prompt)" in out and "R = 0 of 1 (measured on tiny)" in out
    assert "5-76  [EOT]" in out and "SWR   hidden" in out
    made = folder / "a-man-without-glasses-analysis"
    assert out.splitlines()[-1] == made.name
    assert sorted(p.name for p in made.iterdir()) == ["leak.csv", "leak.png", "zeroing.csv", "zeroing.png"]
    rows = read(made / "zeroing.csv")
    assert list(rows[0]) == ["zeroed", "seed", "det_score", "psnr", "ssim"] and len(rows) == 8
    assert [float(row["original"]) for row in read(made / "leak.csv")[:4]] == [0] * 4
    prompt, _, fields = parameters.read(made / "zeroing.png")
    assert prompt == PROMPT and fields["Suppress"] == "glasses"
    assert {"Size", "Version", "Torch", "Device", "Date"} <= set(fields)
    assert main([*job[:2], "singular"]) == 0 and (folder / f"{made.name}-2" / "singular.png").is_file()


def test_nothing_is_overwritten(folder, capsys):
    (folder / "mine").mkdir()
    (folder / "mine" / "singular.csv").write_text("mine")
    job = [PROMPT, "--only", "singular", "--out", "mine"]
    assert main(job) == 2
    assert "holds singular.csv" in capsys.readouterr().err
    assert [p.name for p in (folder / "mine").iterdir()] == ["singular.csv"]
    assert (folder / "mine" / "singular.csv").read_text() == "mine"
    assert main([PROMPT, "--only", "distance", "--out", "mine"]) == 0  # other files may stand beside
    assert main([*job, "--overwrite"]) == 0 and len(read(folder / "mine" / "singular.csv")) == 73 + 72


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([PROMPT, "--only", "nonsense"], "--only nonsense: there is leak, moved, singular"),
        (["a man"], "does not say what to remove"),
        ([PROMPT, "--remove", "hat"], "the prompt has no 'hat'"),
        ([PROMPT, "--steps", "0"], "steps = 0"),
        ([PROMPT, "--seed", "-1"], "seed -1"),
        ([PROMPT, "--out", "no/where"], "there is no folder"),
        ([PROMPT, "--out", "file"], "file is a file"),
        ([PROMPT, "--out", "x" * 300], "no file can have this name"),
        ([PROMPT, "--out", "a\0b"], "no file can have this name"),
        ([PROMPT, "--steps", str(2**70)], "steps = 1180591620717411303424"),
        ([PROMPT, "--guidance", "inf"], "guidance = inf"),
        ([PROMPT, "--model", "nowhere"], "no model 'nowhere'"),
        (["glasses", "--remove", "glasses", "--only", "phrasing"], "nothing to write: phrasing: "),
    ],
)
def test_mistakes_get_one_message_and_leave_nothing(folder, capsys, argv, message):
    (folder / "file").write_text("mine")
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith("suppress analyse: error: ") and message in err and "Traceback" not in err
    assert [p.name for p in folder.iterdir()] == ["file"]


def test_without_matplotlib_the_tables_come(sd, tmp_path, capsys, monkeypatch):
    """matplotlib is optional: the command works after the plain installation."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main([PROMPT, "--only", "leak", "zeroing", "--steps", "1", "--out", "x"]) == 0
    out = capsys.readouterr().out
    assert out.count('pip install "minisd[plots]"') == 1 and "SWR   hidden" in out
    assert sorted(p.name for p in (tmp_path / "x").iterdir()) == ["leak.csv", "zeroing.csv"]
    assert len(read(tmp_path / "x" / "leak.csv")) == 77
    with pytest.raises(UserError, match="minisd\\[plots\\]"):
        ANALYSES["leak"].draw(ANALYSES["leak"].run(open_study(sd, PROMPT)), "title")


def test_what_is_done_stays_when_the_rest_is_stopped(folder, capsys, monkeypatch):
    class Interrupted(Analysis):
        def run(self, study):
            raise KeyboardInterrupt

    about = Interrupted("", "", "", "")
    monkeypatch.setattr("suppress.cli.analyse.ANALYSES", {"singular": ANALYSES["singular"], "stop": about})
    with pytest.raises(SystemExit) as status:
        main([PROMPT, "--out", "x"])
    assert status.value.code == 130 and "x has singular" in capsys.readouterr().err
    assert sorted(p.name for p in (folder / "x").iterdir()) == ["singular.csv", "singular.png"]
    monkeypatch.setattr("suppress.cli.analyse.ANALYSES", {"stop": about})
    assert main([PROMPT, "--out", "y"]) == 130 and not (folder / "y").exists()


def test_a_failed_write_leaves_no_half_file(tmp_path):
    with pytest.raises(RuntimeError):
        write_csv(tmp_path / "x.csv", [{"a": 1.5}, {"a": _Unprintable()}])
    assert not list(tmp_path.iterdir())


class _Unprintable:
    def __str__(self):
        raise RuntimeError
