"""In which zone times without an offset are read: no file says it, and a wrong zone moves every day."""

from __future__ import annotations

from pipeline.ingest.company import LoadedCompany


def time_zone_text(loaded: LoadedCompany) -> str:
    """Say in which zone times without an offset are read, and of which sources that is a guess.

    Parameters
    ----------
    loaded : LoadedCompany
    """
    zone = loaded.params.data.timezone
    by_zone: dict[str, list[str]] = {}
    for mapping in loaded.mappings:
        if mapping.raw.has_local_times:
            by_zone.setdefault(mapping.timezone or zone, []).append(mapping.raw.label)
    text = f"days are those of {zone} (data.timezone)"
    for name, labels in sorted(by_zone.items()):
        said = "as the sources say" if name != zone else "by data.timezone"
        text += f"; times without an offset are read in {name}, {said}: {', '.join(dict.fromkeys(labels))}"
    if zone in by_zone and zone not in ("UTC", "Etc/UTC"):
        text += " (exports of Salesforce, Pipedrive and Odoo are in UTC: put timezone: UTC under such a source)"
    return text
