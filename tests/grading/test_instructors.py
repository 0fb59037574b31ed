"""What an instructor does with a class: collect, grade, grade again, change points, hand back, and fill a gradebook."""

import argparse
import csv
import io
import json
import os
import random
import re
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from srgan_lib.grading import collect as collecting
from srgan_lib.grading import command, explain, feedback, gradebook, overrides, similarity, tables, unpack
from srgan_lib.grading.judge import load_exercises
from srgan_lib.grading.roster import listing, owners, read_roster
from srgan_lib.grading.submission import GradingError

sys.path.insert(0, str(Path(__file__).parent))
from hostile import LUMA, PSNR, notebook  # noqa: E402

linux = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox with forks and namespaces is Linux's")
GOOD, POOR = notebook([PSNR, LUMA]), notebook([PSNR, "def luma(rgb):\n    return rgb.mean(1)\n"])
ROSTER = "id,name\ns1,Ada Lovelace\ns2,Jörg Müller\ns3,Sinéad O’Connor\ns4,Zed Missing\n"


def run(*arguments) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(argument) for argument in arguments]))


def put(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return path


def table(file: Path) -> list[dict]:
    return list(csv.DictReader(io.StringIO(file.read_text("utf-8"))))


# Collecting.

MOODLE = {"Ada Lovelace_1201_assignsubmission_file_/assignment.ipynb": "s1", "Jörg Müller_1202_assignsubmission_file_/my work.ipynb": "s2"}
LAYOUTS = {
    "Moodle, folders": MOODLE,
    "Moodle, one folder": {name.replace("_/", "_"): student for name, student in MOODLE.items()},
    "Canvas": {"lovelaceada_501_90001_assignment.ipynb": "s1", "mullerjorg_LATE_502_90002_assignment-1.ipynb": "s2"},
    "ids": {"s1.ipynb": "s1", "S2.IPYNB": "s2"},
    "ids in names": {"hw_s1_final.ipynb": "s1", "hw-s2 (2).ipynb": "s2"},
    "names": {"Ada_Lovelace.ipynb": "s1", "Müller, Jörg – Übung 1 (final).ipynb": "s2"},
    "a folder each": {"s1/assignment.ipynb": "s1", "Jorg Muller/assignment.ipynb": "s2"},
    "scripts": {"s1.py": "s1", "s2.py.txt": "s2"}}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_whose_file_it_is(layout, packed, tmp_path):
    roster = read_roster(put(tmp_path / "roster.csv", ROSTER))
    if packed:
        if layout in ("ids", "ids in names", "names", "scripts"):
            pytest.skip("an archive without folders is one student's")
        named = archive(tmp_path / "download.zip", dict.fromkeys(LAYOUTS[layout], GOOD))
    else:
        named = tmp_path / "class"
        for name in LAYOUTS[layout]:
            put(named / name, GOOD)
    found = collecting.collect([named], tmp_path / "unpacked")
    chosen = owners(found, roster)
    assert sorted(chosen.values()) == ["s1", "s2"] and not found.refused
    ends = {found.files[path].source.replace(": ", "/").removeprefix(f"{named}/"): student for path, student in chosen.items()}
    assert ends == LAYOUTS[layout]
    assert listing(found, chosen, roster)[:2] == ["nothing from: s3 Sinéad O’Connor", "nothing from: s4 Zed Missing"]


def test_two_students_of_one_name_are_two(tmp_path):
    for name in ("group A/ada.ipynb", "group A/bob.ipynb", "group B/ada.ipynb"):
        put(tmp_path / name, GOOD)
    assert sorted(owners(collecting.collect([tmp_path]), {}).values()) == ["bob", "group A/ada", "group B/ada"]
    twins = read_roster(put(tmp_path.parent / "roster.csv", "id,name\ns1,Ada Lovelace\ns2,Ada Lovelace\n"))
    put(tmp_path / "new" / "Ada Lovelace.ipynb", GOOD)
    assert "Ada Lovelace" in owners(collecting.collect([tmp_path / "new"]), twins).values()  # nobody's rather than the wrong one's


def test_of_several_files_of_a_student_one_is_graded_and_the_rest_listed(tmp_path):
    folder = "Ada Lovelace_1201_assignsubmission_file_"
    put(tmp_path / folder / "a_scratch.ipynb", notebook(["x = 1"]))
    put(tmp_path / folder / "assignment.ipynb", GOOD)
    put(tmp_path / folder / "z.py", PSNR + LUMA)
    put(tmp_path / "lee_7_100_assignment.ipynb", GOOD)
    put(tmp_path / "lee_7_101_assignment-1.ipynb", POOR)
    found = collecting.collect([tmp_path])
    assert sorted(Path(path).name for path in owners(found, {})) == ["assignment.ipynb", "lee_7_101_assignment-1.ipynb"]
    assert len(found.refused) == 3 and all("stands aside" in reason for _, reason in found.refused)


def test_everything_handed_in_is_accounted_for(tmp_path):
    for name in ("a.docx", "b.rar", "c.ipynb", "notes", ".ipynb_checkpoints/c.ipynb", "__MACOSX/._c.ipynb"):
        put(tmp_path / name, GOOD)
    (tmp_path / "l.ipynb").symlink_to(tmp_path / "c.ipynb")
    put(tmp_path / "broken.zip", b"PK\x03\x04 nonsense")
    archive(tmp_path / "empty.zip", {"data.csv": b"1"})
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.ipynb")
    found = collecting.collect([tmp_path], tmp_path.parent / "unpacked")
    assert [Path(path).name for path in found.files] == ["c.ipynb"]
    assert {Path(what).name for what, reason in found.refused if reason} == {"a.docx", "b.rar", "notes", "l.ipynb", "broken.zip", "empty.zip", "pipe.ipynb"}


def test_archives_are_unpacked_safely(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "MOST_BYTES", 50_000)
    link = zipfile.ZipInfo("link.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as packed:
        packed.writestr("deep.ipynb", GOOD)
    with zipfile.ZipFile(tmp_path / "s1.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in (("../../up.ipynb", GOOD), ("/abs.ipynb", GOOD), ("C:\\win.ipynb", GOOD), (link, b"/etc/passwd"), ("bomb.ipynb", b"0" * 5_000_000),
                           ("inner.zip", inner.getvalue()), ("data.bin", b"1")):
            packed.writestr(name, data)
    raw = bytearray((tmp_path / "s1.zip").read_bytes())
    found = collecting.collect([tmp_path / "s1.zip"], tmp_path / "unpacked")
    assert {handed.label for handed in found.files.values()} == {"s1"} and len(found.files) == 4
    assert all(Path(path).resolve().is_relative_to(tmp_path / "unpacked") for path in found.files)
    assert not list(tmp_path.parent.rglob("up.ipynb")) and not Path("/abs.ipynb").exists()
    reasons = " | ".join(f"{what} {reason}" for what, reason in found.refused)
    assert "link.ipynb is a link" in reasons and "bomb.ipynb is larger" in reasons and "1 other file" in reasons
    generator = random.Random(0)
    for number in range(60):  # damaged anywhere: a reason, never a traceback
        bad = bytearray(raw)
        for _ in range(4):
            bad[generator.randrange(len(bad))] = generator.randrange(256)
        collecting.collect([put(tmp_path / f"bad{number}.zip", bytes(bad))], tmp_path / "unpacked")


ROSTERS = {
    "plain": ROSTER, "semicolons": ROSTER.replace(",", ";"), "tabs": ROSTER.replace(",", "\t"), "utf-16": ROSTER.encode("utf-16"), "mark": "\ufeff" + ROSTER,
    "Canvas": "Student,ID,SIS User ID,SIS Login ID,Section,HW1 (77)\n    Points Possible,,,,,100\n\"Lovelace, Ada\",s1,u1,ada@x.edu,A,\n\"Müller, Jörg\",s2,u2,jm@x.edu,A,\n",
    "Moodle": "First name,Last name,ID number,Email address\nAda,Lovelace,s1,ada@x.edu\nJörg,Müller,s2,jm@x.edu\n",
    "Moodle's worksheet": "Identifier,Full name,Email address\nParticipant 1201,Ada Lovelace,a@x.edu\nParticipant 1202,Jörg Müller,j@x.edu\n"}


@pytest.mark.parametrize("kind", ROSTERS)
def test_rosters_as_platforms_write_them(kind, tmp_path):
    roster = read_roster(put(tmp_path / "roster.csv", ROSTERS[kind]))
    assert list(roster)[:2] == (["1201", "1202"] if "worksheet" in kind else ["s1", "s2"])
    for name in MOODLE:
        put(tmp_path / "class" / name, GOOD)
    assert sorted(owners(collecting.collect([tmp_path / "class"]), roster).values()) == list(roster)[:2]


@pytest.mark.parametrize("text, word", [
    ("name\nAda\n", "columns id and name"), ("id,name\n,Ada\n", "line 2"), ("id,name\ns1,Ada\ns1,Bob\n", "twice"), (b"\xff\xfa\x00", "UTF-8"), ("", "columns"), ('id,name\n"s1,Ada\n', "not a table")])
def test_a_roster_that_is_none_is_one_sentence(text, word, tmp_path):
    with pytest.raises(GradingError, match=word):
        read_roster(put(tmp_path / "roster.csv", text))


# Grading again.

@pytest.fixture(scope="module")
def thirty(tmp_path_factory):
    """A class of 30 that has been graded: (folder of notebooks, folder of results)."""
    root = tmp_path_factory.mktemp("thirty")
    for number in range(30):
        put(root / "class" / f"s{number:02}.ipynb", (GOOD, POOR)[number % 2])
    run(root / "class", "--json", root / "g.json", "--csv", root / "g.csv", "--seed", 5)
    return root / "class", root


@linux
def test_one_graded_again_leaves_the_other_rows_byte_for_byte(thirty, tmp_path, capsys):
    folder, root = thirty
    files = {name: put(tmp_path / name, (root / name).read_bytes()) for name in ("g.json", "g.csv")}
    text = files["g.csv"].read_text("utf-8").replace(",s03,", ',"s03",').replace(",s04,5.0", ",s04,99")  # as a spreadsheet, or a hand, may have left them
    put(files["g.csv"], text)
    before, whole = {line.split(",")[1]: line for line in text.splitlines(keepends=True)}, json.loads(files["g.json"].read_text("utf-8"))
    put(tmp_path / "s07.ipynb", GOOD)  # was POOR
    for asked in ([tmp_path / "s07.ipynb"], [folder, "--only", "s08"]):
        assert run(*asked, "--json", files["g.json"], "--csv", files["g.csv"]) == 0
        after = {line.split(",")[1]: line for line in files["g.csv"].read_text("utf-8").splitlines(keepends=True)}
        assert list(after) == list(before) and {key for key in after if after[key] != before[key]} <= {"s07"}
        rows = json.loads(files["g.json"].read_text("utf-8"))
        assert [row for row in rows if row["student"] != "s07"] == [row for row in whole if row["student"] != "s07"]
    assert {row["student"]: row["points"] for row in rows}["s07"] == 9 and len(rows) == 30
    assert json.loads((tmp_path / "g.json.bak").read_text("utf-8")) == rows and (tmp_path / "g.csv.bak").exists()
    assert "30 notebooks" in capsys.readouterr().out


@linux
def test_a_roster_that_comes_later_renames_and_does_not_double(thirty, tmp_path):
    folder, root = thirty
    put(tmp_path / "g.json", (root / "g.json").read_bytes())
    put(tmp_path / "roster.csv", "id,name\n" + "".join(f"u{n},Student S{n:02}\n" for n in range(30)).replace("Student S", "S"))
    run(folder, "--json", tmp_path / "g.json", "--roster", tmp_path / "roster.csv")
    rows = json.loads((tmp_path / "g.json").read_text("utf-8"))
    assert sorted(row["student"] for row in rows) == sorted(f"u{n}" for n in range(30)) and len(rows) == 30


def test_what_cannot_be_asked_for_is_one_sentence(thirty, tmp_path):
    folder, _ = thirty
    put(tmp_path / "t.csv", "a,b\n1,2\n")
    put(tmp_path / "o.csv", "student,exercise,points,remark\nnobody,luma,1,\n")
    for arguments, word in (([folder, "--only", "zed"], "zed"), ([folder, "--csv", tmp_path / "t.csv", "--only", "s01"], "other columns"),
                            ([folder, "--overrides", tmp_path / "o.csv"], "nobody is called nobody"), ([folder, "--roster", tmp_path / "none.csv"], "cannot be read"),
                            ([folder, "--html", tmp_path / "t.csv"], "is a file"), ([folder, "--anonymous", ""], "a word")):
        with pytest.raises(GradingError, match=word):
            run(*arguments)


def test_lines_that_do_not_change_stay_as_they_are(tmp_path):
    file = put(tmp_path / "t.csv", 'student,points\r\n"a" ,1\r\n"b\nc",2\r\nd,3')
    tables.merge_table(file, [["student", "points"], ["b\nc", 9], ["d", 9], ["e", 9]], ("student",), {("d",)})
    assert file.read_bytes().decode() == 'student,points\r\n"a" ,1\r\n"b\nc",2\r\nd,9\ne,9\n'


# Marks.

def row(student="s1", points=(4, 5), **more) -> dict:
    listed = [{"name": name, "points": p, "out_of": 5, "message": "" if p == 5 else "failed", "passed": []} for name, p in zip(("luma", "psnr"), points)]
    return {"notebook": f"/x/{student}.ipynb", "student": student, "points": sum(points), "out_of": 106, "full": 100, "exercises": listed, "error": None, "seed": 3, **more}


def changes(tmp_path, text: str, name: str = "o.csv") -> list[dict]:
    return overrides.read_overrides([put(tmp_path / name, "student,exercise,points,remark\n" + text)])


def test_points_by_hand_change_totals_and_late_days_cost(tmp_path):
    made = changes(tmp_path, "s1,luma,\"2,5\",half right\n*,psnr,5,the test was wrong\ns2,psnr,1,copied\ns2,late_days,3,\n*,late_rule,10,\ns1,explain_psnr,4,\ns1,explain_use,,\n")
    first, second, third = gradebook.marks([row(), row("s2"), row("s3", (5, 0))], made)
    assert (first["points"], first["out_of"], first["percent"]) == (2.5 + 5 + 4, 108, round(100 * 11.5 / 108, 2))
    assert (second["points"], second["percent"]) == (5, round(100 * 5 / 108 * 0.7, 2))
    assert third["points"] == 10 and third["remarks"] == "psnr: the test was wrong"
    plain, = gradebook.marks([row(points=(60, 46))], [])
    assert plain["percent"] == 100.0 and plain["out_of"] == 100  # the bonus lifts nobody above
    assert gradebook.marks([row()], changes(tmp_path, "s1,late_days,30,\n*,late_rule,10,\n"))[0]["percent"] == 0


@pytest.mark.parametrize("text, word", [
    ("s1,luma,x,\n", "no number"), ("s1,luma,-1,\n", "from 0"), ("s1,luma,nan,\n", "from 0"), ("s1,luma,1,\ns1,luma,2,\n", "already"), ("s9,luma,1,\n", "nobody is called s9"),
    ("s1,lumo,1,\n", "not an exercise"), ("s1,luma,40,\n", "has 4 points")])
def test_an_override_that_makes_no_sense_is_named_with_its_line(text, word, tmp_path):
    with pytest.raises(GradingError, match=word) as raised:
        overrides.check_overrides(changes(tmp_path, text), {"s1"})
    assert "o.csv, line " in str(raised.value)
    with pytest.raises(GradingError, match="remark is missing"):
        overrides.read_overrides([put(tmp_path / "x.csv", "student,exercise,points\n")])


def test_canvas_and_moodle_get_their_columns(tmp_path):
    """Canvas: lib/gradebook_importer.rb; Moodle: mod/assign/feedback/offline/importgradeslib.php, both as of 2025."""
    rows = [row("=s1", moodle="1201", name="Ada Lovelace"), row("502", canvas="502"), row("jm@x.edu")]
    people = read_roster(put(tmp_path / "r.csv", "id,name,email\n=s1,Ada Lovelace,ada@x.edu\ns4,Zed Missing,z@x.edu\n"))
    gradebook.write_gradebook(gradebook.marks(rows, [], people), tmp_path, people)
    canvas = list(csv.reader((tmp_path / "canvas.csv").open(encoding="utf-8")))
    assert canvas[0][:5] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"] and canvas[1][0].strip() == "Points Possible" and canvas[1][5] == "100"
    assert canvas[2:] == [["Ada Lovelace", "", "'=s1", "", "", "9"], ["Zed Missing", "", "s4", "", "", ""], ["502", "502", "", "", "", "9"], ["jm@x.edu", "", "", "jm@x.edu", "", "9"]]
    moodle = table(tmp_path / "moodle.csv")
    assert {"Identifier", "Grade", "Last modified (grade)", "Feedback comments"} <= set(moodle[0])
    assert (moodle[0]["Identifier"], moodle[0]["Grade"], moodle[0]["Maximum grade"], moodle[0]["Last modified (grade)"]) == ("Participant 1201", "9", "100.00", "-")
    plain = table(tmp_path / "gradebook.csv")
    assert list(plain[0])[:5] == ["student", "name", "points", "out_of", "percentage"]
    assert [line["percentage"] for line in plain] == ["9", "", "9", "9"] and plain[1]["error"] == "nothing handed in"
    export = read_roster(put(tmp_path / "c.csv", ROSTERS["Canvas"].replace(",s1,", ",501,")))
    lines = gradebook.canvas(gradebook.marks([row("501", canvas="501", name="Ada")], [], export), export)
    assert lines[2] == ["Ada", "501", "u1", "ada@x.edu", "A", "9"]


def test_answers_to_explain_are_gathered_and_marked_ones_are_kept(tmp_path):
    def md(text: str) -> dict:
        return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}
    course = json.loads((Path(__file__).parents[2] / "notebooks" / "assignment" / "assignment.ipynb").read_text("utf-8"))
    blank = put(tmp_path / "blank.ipynb", json.dumps(course))
    for cell in course["cells"]:
        if "Your answer to A" in "".join(cell["source"]):
            cell["source"] = ["*Your answer to A:*\n", "Because of, well,\n", "the sum."]
    place = next(i for i, cell in enumerate(course["cells"]) if "Your answer to B" in "".join(cell["source"]))
    course["cells"][place + 1:place + 1] = [md("Medicine: it\ninvents."), md("A second case.")]
    full = put(tmp_path / "full.ipynb", json.dumps(course))
    assert explain.answers(str(blank)) == {"explain_psnr": "", "explain_use": ""}
    assert explain.answers(str(full)) == {"explain_psnr": "Because of, well,\nthe sum.", "explain_use": "Medicine: it\ninvents.\nA second case."}
    rows, file = [row("s1", notebook=str(full)), row("s2", notebook=str(blank))], tmp_path / "explain.csv"
    explain.write_explanations(rows, file)
    marked = file.read_text("utf-8").replace("s1,explain_psnr,,", "s1,explain_psnr,3,good")
    put(file, marked)
    explain.write_explanations([*rows, row("s3", notebook=str(blank))], file)
    assert file.read_text("utf-8").startswith(marked) and len(table(file)) == 6
    assert [(c["student"], c["exercise"], c["points"], c["remark"]) for c in overrides.read_overrides([file])] == [("s1", "explain_psnr", 3.0, "good")]


# What students get.

@linux
def test_a_whole_round_with_pages_gradebook_and_hidden_names(tmp_path, capsys):
    for name, data in (("Ada Lovelace_1201_assignsubmission_file_", GOOD), ("Jörg Müller_1202_assignsubmission_file_", POOR), ("Sinéad O'Connor_1203_assignsubmission_file_", b"no notebook")):
        put(tmp_path / "class" / name / "assignment of this student.ipynb", data)
    put(tmp_path / "roster.csv", ROSTER)
    put(tmp_path / "o.csv", "student,exercise,points,remark\ns2,luma,3,near enough\ns2,late_days,1,\n*,late_rule,10,\n")
    common = [tmp_path / "class", "--roster", tmp_path / "roster.csv", "--overrides", tmp_path / "o.csv", "--json", tmp_path / "g.json", "--seed", 11]
    run(*common, "--html", tmp_path / "html", "--report", tmp_path / "report", "--gradebook", tmp_path / "book", "--similar", tmp_path / "alike.txt")
    shown = capsys.readouterr()
    assert "nothing from: s4 Zed Missing" in shown.err and "3 notebooks" in shown.out
    page = (tmp_path / "html" / "s2.html").read_text("utf-8")
    assert "check(luma, seed=11)" in page and "<details><summary>Hint 1" in page and "return rgb.mean(1)" in page
    assert "luma, 3 points in place of 0. near enough" in page and "1 days, which cost 10 %" in page
    book = {line["student"]: line for line in table(tmp_path / "book" / "gradebook.csv")}
    assert book["s2"]["luma"] == "3" and float(book["s2"]["percentage"]) == pytest.approx(8 * 0.9) and book["s3"]["error"] and book["s4"]["points"] == ""
    assert [line["what"] for line in table(tmp_path / "book" / "not_graded.csv")] == []

    run(*common, "--only", "s1", "--gradebook", tmp_path / "book")  # what was changed by hand survives
    assert {line["student"]: line for line in table(tmp_path / "book" / "gradebook.csv")} == book

    run(*common, "--anonymous", "salt", "--html", tmp_path / "hidden", "--report", tmp_path / "hidden", "--gradebook", tmp_path / "hidden", "--similar", tmp_path / "hidden" / "a.txt")
    texts = "".join(file.read_text("utf-8") + file.name for file in (tmp_path / "hidden").iterdir() if file.suffix != ".png")
    assert not re.search(r"\bAda\b|Lovelace|Müller|Sinéad|\bs[1234]\b|assignment of this student", texts) and gradebook.anonymous("s1", "salt") in texts
    assert not (tmp_path / "hidden" / "canvas.csv").exists()


def test_pages_are_safe_to_open():
    evil = row("<b>", exercises=[{"name": "luma", "points": 0, "out_of": 4, "message": "<script>alert(1)</script>", "passed": ["<i>"]}], error="<img src=x>")
    page = feedback.page(evil, "x", {"luma": "'</pre><script>'\ud800"}, {"luma": ("<u>",)})
    assert not re.search(r"<(script|img|i|u|b)\b", page) and page.encode("utf-8")


def test_similar_code_is_found_under_other_names_and_nothing_else(tmp_path):
    import alternatives
    import further
    import mistakes
    course = Path(__file__).parents[2] / "notebooks" / "assignment"
    own = [source for *_, source in alternatives.ALTERNATIVES + further.ALTERNATIVES]
    other = [source for *_, source in mistakes.MISTAKES + further.MISTAKES]
    renamed = [re.sub(r"\bweights\b", "v", re.sub(r"\bmse\b", "fehler", source)) for source in own]
    cells = [json.loads((course / "assignment.ipynb").read_text("utf-8"))["cells"]]
    given = ["".join(cell["source"]) for cell in cells[0] if cell["cell_type"] == "code"]
    files = {"ada": [*given, *own], "bob": [*given, *renamed], "cy": [*given, *other], "dan": given, "eve": given}
    rows = [row(name, notebook=str(put(tmp_path / f"{name}.ipynb", notebook(cells)))) for name, cells in files.items()]
    pairs = similarity.similar(rows)
    assert [pair[:2] for pair in pairs] == [("ada", "bob")]
    assert "read both before you ask" in similarity.report(pairs)
    assert [pair[:2] for pair in similarity.similar(rows[:2])] == [("ada", "bob")] and similarity.similar(rows[3:]) == []  # a class of two


@linux
def test_gradescope_runs_its_autograder(tmp_path):
    """The layout and the keys of https://gradescope-autograders.readthedocs.io (specs): /autograder/{source,submission,results}."""
    run("--gradescope", tmp_path / "autograder")
    with zipfile.ZipFile(tmp_path / "autograder.zip") as packed:
        assert {"setup.sh", "run_autograder"} <= set(packed.namelist())  # at the top
        packed.extractall(tmp_path / "root" / "source")
    with pytest.raises(GradingError, match="exists"):
        run("--gradescope", tmp_path / "autograder")
    put(tmp_path / "root" / "submission" / "my notebook.ipynb", POOR)
    put(tmp_path / "root" / "submission" / "notes.txt", "hello")
    settings = {**os.environ, "AUTOGRADER": str(tmp_path / "root"), "PYTHON": sys.executable}
    settings.pop("PYTHONPATH", None)
    script = (tmp_path / "root" / "source" / "run_autograder")
    done = subprocess.run(["bash", str(script)], env=settings, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = json.loads((tmp_path / "root" / "results" / "results.json").read_text("utf-8"))
    assert made["score"] == 5 and made["visibility"] == "visible" and [test["name"] for test in made["tests"]] == list(load_exercises())
    luma = made["tests"][0]
    assert (luma["score"], luma["max_score"], luma["status"], luma["visibility"]) == (0, 4, "failed", "visible")
    assert "hint: " in luma["output"] and "check(luma, seed=" in luma["output"]
    assert made["tests"][1]["score"] == 5 and made["tests"][1]["status"] == "passed"
    (tmp_path / "root" / "submission" / "my notebook.ipynb").unlink()
    subprocess.run(["bash", str(script)], env=settings, cwd="/", capture_output=True, check=True)
    made = json.loads((tmp_path / "root" / "results" / "results.json").read_text("utf-8"))
    assert made["score"] == 0 and "nothing" in made["output"] or "no notebook" in made["output"]
