"""Every lesson runs from its first cell to its last, with the solutions of its exercises, and its text tells the truth.

What a lesson's text claims is an `assert` in its cells, so that to run a lesson is to test its text. A solution is a
folded Markdown cell; its code runs here in the place where it stands.
"""

import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason='the lessons need pip install "minisd[lessons]"')
nbclient = pytest.importorskip("nbclient", reason='the lessons need pip install "minisd[lessons]"')
pytest.importorskip("ipykernel", reason='the lessons need pip install "minisd[lessons]"')

ROOT = Path(__file__).parents[2]
LESSONS = sorted((ROOT / "lessons").glob("*.ipynb"))
FENCE = re.compile(r"^```python\n(.*?)^```", re.S | re.M)
EXERCISE = re.compile(r"^### Exercise \d", re.M)
LARGEST = 600_000  # bytes of a notebook; GitHub shows larger ones slowly or not at all


@pytest.fixture(params=LESSONS, ids=lambda path: path.stem)
def lesson(request):
    return request.param


def is_solution(cell) -> bool:
    return "solution" in cell.metadata.get("tags", [])


def with_solutions(notebook):
    """The notebook, in which the code of each solution is a code cell."""
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if is_solution(cell):
            cells += [nbformat.v4.new_code_cell(code) for code in FENCE.findall(cell.source)]
    notebook.cells = cells
    return notebook


def test_all_eight_are_there():
    assert [path.name[:2] for path in LESSONS] == [f"{n:02}" for n in range(1, 9)]


@pytest.mark.slow
def test_runs(lesson, monkeypatch, tmp_path):
    """Raises the first error of the lesson: also an assertion that its text relies on."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # also if the project is not installed
    monkeypatch.setenv("MINISD_CACHE", str(tmp_path))
    notebook = with_solutions(nbformat.read(lesson, as_version=4))
    resources = {"metadata": {"path": str(lesson.parent)}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()


def test_every_exercise_has_a_folded_solution(lesson):
    cells = nbformat.read(lesson, as_version=4).cells
    exercises = sum(len(EXERCISE.findall(cell.source)) for cell in cells if cell.cell_type == "markdown")
    solutions = [cell for cell in cells if is_solution(cell)]
    assert 2 <= exercises == len(solutions) <= 4
    for cell in solutions:
        assert cell.source.startswith("<details>\n<summary>Solution</summary>\n\n")
        assert cell.source.endswith("\n\n</details>") and FENCE.search(cell.source)


def test_the_committed_file_was_run_and_is_clean(lesson):
    """Its outputs are there, in order, without an error, a warning or a path of the machine that made them."""
    text = lesson.read_text(encoding="utf-8")
    assert len(text) < LARGEST
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/jpeg" in output.get("data", {}) for output in outputs)
    for output in outputs:
        assert output.output_type != "error" and output.get("name") != "stderr"
        words = str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
        assert not re.search(r"Traceback|Warning|/(home|tmp|root|work|Users)/", words), words


def test_every_link_leads_somewhere(lesson):
    for cell in nbformat.read(lesson, as_version=4).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\((?!https?:)([^)#]+)", cell.source):
                assert (lesson.parent / target).exists(), target


def test_the_list_names_every_lesson():
    listed = (ROOT / "lessons" / "README.md").read_text(encoding="utf-8")
    assert all(f"({path.name})" in listed for path in LESSONS)
