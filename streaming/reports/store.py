"""Where reports are kept: files in `HOME/reports/KIND/DATE/`, and a document with all numbers in Elasticsearch.

The files are what people open and what is listed; the document outlives the machine. Of a report that was built before,
the numbers are taken from the file, else from the document.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from streaming.elastic.documents import DocumentKind, Documents
from streaming.reports.model import Report, decode, encode
from streaming.reports.period import Kind, Period
from streaming.settings import Settings

JSON, HTML, PDF, PICTURE = "report.json", "report.html", "report.pdf", "report.png"

REPORTS = DocumentKind(
    "reports",
    {
        "version": {"type": "long"},
        "built_ms": {"type": "date", "format": "epoch_millis"},
        "shown_ms": {"type": "date", "format": "epoch_millis"},
        "period": {
            "properties": {
                "kind": {"type": "keyword"},
                "zone": {"type": "keyword"},
                "first_day": {"type": "date", "format": "strict_date"},
                "start_ms": {"type": "date", "format": "epoch_millis"},
                "end_ms": {"type": "date", "format": "epoch_millis"},
                "cutoff_ms": {"type": "date", "format": "epoch_millis"},
            }
        },
        "total": {
            "properties": {
                "now": {"properties": {"documents": {"type": "long"}, "errors": {"type": "long"}}},
            }
        },
    },
)
"""Index `vigil-reports`; a report's document is found by `KIND-DATE`."""


class ReportStore:
    """The reports of an installation."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._root = settings.home / "reports"

    def folder(self, kind: Kind, first_day: date) -> Path:
        """Of a report's files."""
        return self._root / kind / first_day.isoformat()

    def stored(self, period: Period) -> Report | None:
        """The report that was built of it before, of the same zone and cut-off; None where there is none.

        Raises:
            Unavailable: there is no file, and Elasticsearch does not answer.
        """
        found = self.load(period.kind, period.day)
        same = found is not None and (found.period.zone, found.period.cutoff_ms) == (period.zone, period.cutoff_ms)
        return found if same else None

    def load(self, kind: Kind, first_day: date) -> Report | None:
        """A report by its first day; None where there is none.

        Raises:
            Unavailable: there is no file, and Elasticsearch does not answer.
        """
        if (found := self._read(self.folder(kind, first_day) / JSON)) is not None:
            return found
        with Documents(self._settings, REPORTS) as documents:
            raw = documents.get(f"{kind}-{first_day.isoformat()}")
        return None if raw is None else decode(raw)

    def save(self, report: Report, files: Mapping[str, bytes]) -> Path:
        """Writes the report and what was made of it; each file is there whole or not at all, the numbers last.

        Returns: their folder.

        Raises:
            Unavailable, Refused: Elasticsearch does not take the document; the files are written by then.
            OSError: the disk does not take them.
        """
        folder = self.folder(report.period.kind, report.period.day)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, content in {**files, JSON: encode(report)}.items():
            part = folder / f".{name}.part"
            part.write_bytes(content)
            part.chmod(0o600)
            part.replace(folder / name)
        with Documents(self._settings, REPORTS) as documents:
            documents.put(report.id, report)
        return folder

    def files(self, report: Report) -> dict[str, bytes]:
        """What is shown of it, by file name; made anew where it is not here."""
        folder = self.folder(report.period.kind, report.period.day)
        try:
            return {name: (folder / name).read_bytes() for name in (HTML, PDF, PICTURE)}
        except FileNotFoundError:
            from streaming.reports.rendering import rendered

            return rendered(report)

    def was_delivered(self, report: Report, way: str) -> bool:
        """Whether it went to people this way (`slack`, `mail`) before."""
        return (self.folder(report.period.kind, report.period.day) / f".delivered-{way}").is_file()

    def note_delivered(self, report: Report, way: str, now_ms: int) -> None:
        """Remembers that it did."""
        folder = self.folder(report.period.kind, report.period.day)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / f".delivered-{way}").write_text(f"{now_ms}\n")

    def days(self, kind: Kind) -> list[date]:
        """First days of the reports whose files are here, the latest first."""
        found = []
        for folder in (self._root / kind).glob("*-*-*"):
            try:
                day = date.fromisoformat(folder.name)
            except ValueError:
                continue
            if (folder / JSON).is_file():
                found.append(day)
        return sorted(found, reverse=True)

    def _read(self, path: Path) -> Report | None:
        try:
            return decode(path.read_bytes())
        except FileNotFoundError:
            return None
