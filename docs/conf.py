"""How Sphinx builds the documentation: ``nox -s docs``."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Gateway Relayed Encryption"
author = "the authors of gre-core"
copyright = "the authors, under Apache-2.0"
release = version = version_of("gre-core")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "made"]
exclude_patterns = ["_build", "_ext"]
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
maximum_signature_line_length = 180  # of the source, where names are still qualified
autodoc_preserve_defaults = True
add_module_names = False
toc_object_entries_show_parents = "hide"

napoleon_custom_sections = [("Result", "returns_style")]  # as our docstrings call it

html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
