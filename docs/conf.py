"""How Sphinx builds the documentation: ``nox -s docs``."""

from __future__ import annotations

from importlib.metadata import version as version_of

project = "Gateway Relayed Encryption"
author = "the authors of gre-core"
copyright = "the authors, under Apache-2.0"
release = version = version_of("gre-core")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"
add_module_names = False

html_theme = "furo"
html_title = project
