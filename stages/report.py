"""Write the report of all rows, reports/index.html: `python stages/report.py`."""

from pathlib import Path

from afterimage import report
from afterimage.core import params, stage
from afterimage.datasets.sources import Dataset
from afterimage.evaluation.baselines.features import BaselineRow
from afterimage.evaluation.metrics import MetricsRow


def main() -> None:
    sections = report.Sections(
        datasets=params.section(stage.PARAMS, "datasets", Dataset),
        encoders=params.section(stage.PARAMS, "encoders", report.EncoderNames),
        decoders=params.section(stage.PARAMS, "decoders", report.DecoderNames),
        inversions=params.section(stage.PARAMS, "inversions", report.InversionNames),
        degradations=params.section(stage.PARAMS, "degradations", report.DegradationNames),
        restorers=params.section(stage.PARAMS, "restorers", report.RestorerNames),
        holes=params.section(stage.PARAMS, "holes", report.HolesNames),
        inpainters=params.section(stage.PARAMS, "inpainters", report.InpainterNames),
        completers=params.section(stage.PARAMS, "completers", report.CompleterNames),
        baselines=params.section(stage.PARAMS, "baselines", BaselineRow),
        metrics=params.table(stage.PARAMS, "metrics", MetricsRow),
        report=params.table(stage.PARAMS, "report", report.ReportRow),
    )
    report.write(sections, Path("reports"))


if __name__ == "__main__":
    stage.run(main)
