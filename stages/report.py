"""Write the report of all rows, reports/index.html: `python stages/report.py`."""

from pathlib import Path

from afterimage import params, report, stage
from afterimage.metrics import MetricsRow
from afterimage.reconstructors.classical import BaselineRow
from afterimage.sources import Dataset


def main() -> None:
    sections = report.Sections(
        datasets=params.section(stage.PARAMS, "datasets", Dataset),
        encoders=params.section(stage.PARAMS, "encoders", report.EncoderNames),
        decoders=params.section(stage.PARAMS, "decoders", report.DecoderNames),
        inversions=params.section(stage.PARAMS, "inversions", report.InversionNames),
        baselines=params.section(stage.PARAMS, "baselines", BaselineRow),
        metrics=params.table(stage.PARAMS, "metrics", MetricsRow),
        report=params.table(stage.PARAMS, "report", report.ReportRow),
    )
    report.write(sections, Path("reports"))


if __name__ == "__main__":
    stage.run(main)
