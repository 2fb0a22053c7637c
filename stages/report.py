"""Write the report of all rows, reports/index.html: `python stages/report.py`."""

from pathlib import Path

from afterimage.core import stage


def main() -> None:
    from afterimage import report

    project = report.Project.read(stage.PARAMS)
    report.check(project)
    report.write(project, Path("reports"))


if __name__ == "__main__":
    stage.run(main)
