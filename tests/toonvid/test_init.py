"""`help(toonvid)` names what a user needs before anything else."""

from __future__ import annotations

import pydoc

import toonvid


def test_help_shows_the_public_names_first():
    shown = pydoc.plain(pydoc.render_doc(toonvid))
    description = shown[shown.index("DESCRIPTION") : shown.index("PACKAGE CONTENTS")]
    for name in set(toonvid.__all__) - {"__version__", "OpenStyle"}:
        assert name in description
    assert description.index("stylize(") < description.index("convert(")


def test_every_public_name_has_a_docstring():
    for name in set(toonvid.__all__) - {"__version__"}:
        assert getattr(toonvid, name).__doc__
