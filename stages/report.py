"""Write the report of all rows, reports/index.html: `python stages/report.py`."""

from pathlib import Path

from afterimage.core import stage


def main() -> None:
    from afterimage import report

    report.write(report.Project.read(stage.PARAMS), Path("reports"))


if __name__ == "__main__":
    stage.run(main)
