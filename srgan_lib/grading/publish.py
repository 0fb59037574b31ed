"""Everything that is written for people once the grading is done."""

import sys

from .collect import Collected
from .gradebook import anonymous, marks, sorted_marks, write_gradebook, write_plain
from .reports import summary, write_reports, write_text
from .tables import write_table


def publish(arguments, rows: list[dict], overrides: list[dict], roster: dict, found: Collected) -> None:
    """Reports, pages, gradebook and the list of pairs, as far as they are asked for, and the summary on the screen."""
    table = marks(rows, overrides, roster)
    if arguments.anonymous:
        rows, table = _without_names(rows, table, arguments.anonymous)
    if arguments.similar:
        from .similarity import report, similar
        write_text(arguments.similar, report(similar(rows)))
    if arguments.gradebook:
        _gradebook(arguments, rows, table, roster, found)
    if arguments.report:
        write_reports(rows, arguments.report, table)
    if arguments.html:
        from .feedback import write_pages
        write_pages(rows, arguments.html, table)
    print(summary(rows))


def _gradebook(arguments, rows: list[dict], table: list[dict], roster: dict, found: Collected) -> None:
    from .explain import write_explanations
    if arguments.anonymous:
        write_plain(sorted_marks(table), arguments.gradebook)
        print("canvas.csv, moodle.csv, explain.csv and not_graded.csv name students: not written with --anonymous", file=sys.stderr)
        return
    write_gradebook(table, arguments.gradebook, roster)
    write_explanations(rows, arguments.gradebook / "explain.csv")
    write_table(arguments.gradebook / "not_graded.csv", [["what", "reason"], *found.refused])


def _without_names(rows: list[dict], table: list[dict], salt: str) -> tuple[list[dict], list[dict]]:
    """The same under ids that say nothing; sentences that hold the name of a file lose it."""
    ids = {mark["student"]: anonymous(mark["student"], salt) for mark in table}
    hidden = []
    for row, mark in zip(rows, table):
        who, file = ids[mark["student"]], str(row["notebook"]).replace("\\", "/").rsplit("/", 1)[-1]
        hidden.append({**row, "student": who, "name": "", "source": "", "error": row["error"] and row["error"].replace(file, "the notebook")})
    marks_too = [{**mark, "student": ids[mark["student"]], "name": "", "error": row["error"] if row else mark["error"]}
                 for mark, row in zip(table, [*hidden, *[None] * len(table)])]
    return hidden, marks_too
