"""What grading leaves for people: a page per student, a table and a histogram for the class, a spreadsheet."""

import hashlib
import re
import statistics
from pathlib import Path

from ..images import atomic_write
from .tables import write_table


def write_reports(rows: list[dict], folder: Path, marks: list[dict] | None = None) -> None:
    """Write FOLDER/<student>.md for each student, summary.md, and histogram.png where matplotlib is installed.

    marks: what `gradebook.marks` makes of the rows, with the points changed by hand.
    """
    for name, row, mark in zip(names(rows), rows, marks or [None] * len(rows)):
        write_text(folder / f"{name}.md", feedback(row, name, mark))
    write_text(folder / "summary.md", f"# Class summary\n\n```\n{summary(rows)}\n```\n")
    try:
        _picture(rows, folder / "histogram.png")
    except ImportError:
        return


def names(rows: list[dict]) -> list[str]:
    """A short name for each result: the student's, or the file's with as many of its folders as it takes to tell them apart.

    Fit for a file: no two alike (whatever the case), none longer than 100 characters, none that a report has itself.
    """
    parts = [tuple(p for p in re.split(r"[/\\]", row["student"]) if p) if row.get("student") else Path(row["notebook"]).with_suffix("").parts for row in rows]
    depth = next((d for d in range(1, 20) if len({p[-d:] for p in parts}) == len(parts)), 20)
    found, taken = [], {"summary", "histogram", ""}
    for part in parts:
        name = "-".join(piece.strip("/\\:") for piece in part[-depth:])
        name = re.sub(r"[\x00-\x1f<>:\"|?*/\\]", "_", name).strip(". ")
        if len(name.encode("utf-8", "replace")) > 100:
            name = name[:24] + "-" + hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:12]
        number, first = 2, name
        while name.casefold() in taken:
            name, number = f"{first}-{number}", number + 1
        taken.add(name.casefold())
        found.append(name)
    return found


def feedback(row: dict, name: str, mark: dict | None = None) -> str:
    """One student's page in Markdown. Text that came out of the submission stands between backticks."""
    lines = [f"# {name}: {row['points']:g} of {row['out_of']} points", "", *([""] if not mark else [*(f"{line}  " for line in total(row, mark)), ""])]
    if row["error"]:
        return "\n".join([*lines, _quoted(row["error"]), ""])
    lines += ["| exercise | points | of |", "|---|---:|---:|"]
    lines += [f"| {e['name']} | {e['points']:g} | {e['out_of']} |" for e in row["exercises"]]
    for e in row["exercises"]:
        if e["message"]:
            passed = "".join(f"- passed: {label}\n" for label in e.get("passed", []))
            lines += ["", f"## {e['name']}", "", f"{passed}- failed: {_quoted(e['message'])}"]
    return "\n".join([*lines, "", f"Inputs drawn with seed {row['seed']}.", ""])


def total(row: dict, mark: dict) -> list[str]:
    """The mark in sentences: the percentage, what was changed by hand, and what was late."""
    lines = [f"Mark: {mark['percent']:g} % ({mark['points']:g} points; {mark['out_of']:g} are 100 %)."]
    graded = {e["name"]: e["points"] for e in row["exercises"]}
    for name, change in mark["changes"].items():
        if name not in ("late_days", "late_rule"):
            before = f" in place of {graded[name]:g}" if name in graded else ""
            lines.append(f"By hand: {name}, {change['points']:g} points{before}." + (f" {change['remark']}" if change["remark"] else ""))
    if mark["late_days"]:
        lines.append(f"Late: {mark['late_days']:g} days, which cost {mark['late_lost']:g} % of the mark.")
    return lines


def _quoted(text: str) -> str:
    return "`" + text.replace("`", "'") + "`"


def summary(rows: list[dict]) -> str:
    """Table of the class, mean share of the points in each exercise, and a histogram in text."""
    width = max(len(name) for name in [*names(rows), "notebook"])
    lines = [f"{'notebook':{width}}  points  of"]
    for name, row in zip(names(rows), rows):
        lines.append(f"{name:{width}}  {row['points']:6g}  {row['out_of']}" + (f"  {row['error']}" if row["error"] else ""))
    points = [row["points"] for row in rows]
    lines += ["", f"{len(rows)} notebooks, mean {statistics.mean(points):.1f}, median {statistics.median(points):g}, "
              f"least {min(points):g}, most {max(points):g}", ""]
    tests = next((row["exercises"] for row in rows if row["exercises"]), [])
    for number, test in enumerate(tests):
        got = [row["exercises"][number]["points"] / test["out_of"] for row in rows if row["exercises"]]
        lines.append(f"{test['name']:{max(len(t['name']) for t in tests)}}  {100 * statistics.mean(got):3.0f} % of the points")
    return "\n".join([*lines, "", *histogram(rows)])


def histogram(rows: list[dict]) -> list[str]:
    """Ten bars of #, one for each tenth of the points that can be had."""
    counts = [0] * 10
    for row in rows:
        counts[min(9, int(10 * row["points"] / row["out_of"]))] += 1
    scale = max(1, max(counts) / 50)
    return [f"{10 * i:3} %  {'#' * round(n / scale)}{' ' if n else ''}{n}" for i, n in enumerate(counts)]


def _picture(rows: list[dict], file: Path) -> None:
    from matplotlib.figure import Figure
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    axes.hist([100 * row["points"] / row["out_of"] for row in rows], bins=range(0, 101, 10), color="0.4", edgecolor="white")
    axes.set(xlabel="% of the points", ylabel="notebooks", xlim=(0, 100))
    atomic_write(file, lambda out: figure.savefig(out, format="png", dpi=150))


def write_csv(rows: list[dict], file: Path) -> None:
    """A spreadsheet: notebook, points, out_of, one column for each exercise, error."""
    write_table(file, table(rows))


def table(rows: list[dict]) -> list[list]:
    """The lines of the spreadsheet, with a line of headings."""
    tests = [e["name"] for e in next((row["exercises"] for row in rows if row["exercises"]), [])]
    lines = [["notebook", "student", "points", "out_of", "percentage", *tests, "error"]]
    for row in rows:
        got, full = {e["name"]: e["points"] for e in row["exercises"]}, row.get("full", row["out_of"])
        lines.append([row.get("source") or row["notebook"], row.get("student") or Path(row["notebook"]).stem, row["points"], row["out_of"],
                      f"{min(100, 100 * row['points'] / full):.4g}", *(got.get(t, 0) for t in tests), row["error"] or ""])
    return lines


def write_text(file: Path, text: str) -> None:
    atomic_write(file, lambda out: out.write(text.encode("utf-8", "replace")))
