"""The documents that a version carries, made from its record alone.

In: the folder ``provenance`` of a version. Out: five files beside the evidence. In between: equal records give equal
documents; each says only what the record holds.

    model-card.md      Mitchell et al. 2019, Model Cards for Model Reporting
    datasheet.md       Gebru et al. 2018, Datasheets for Datasets, with the roll-up of licences
    bom.cdx.json       CycloneDX 1.6 machine-learning bill of materials
    croissant.json     MLCommons Croissant 1.0, the corpus for other people's loaders
    page.html          all of it for a reader
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from components.core.files import write_json, write_whole
from components.provenance.bom import bill_of_materials
from components.provenance.chain import Chain
from components.provenance.croissant import croissant
from components.provenance.facts import Facts
from components.provenance.markdown import datasheet, model_card
from components.provenance.page import render

MODEL_CARD, DATASHEET, BOM, CROISSANT, PAGE = (
    "model-card.md", "datasheet.md", "bom.cdx.json", "croissant.json", "page.html",
)  # fmt: skip


def write_documents(folder: Path, name: str, chain: Chain, ends: Mapping[str, str]) -> None:
    """Write all five into ``folder``, which holds the evidence of the version."""
    facts = Facts(folder, name, chain, ends)
    write_whole(folder / MODEL_CARD, model_card(facts).encode())
    write_whole(folder / DATASHEET, datasheet(facts).encode())
    write_json(folder / BOM, bill_of_materials(facts))
    write_json(folder / CROISSANT, croissant(facts))
    write_whole(folder / PAGE, render(facts))
