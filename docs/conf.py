"""Configuration of the documentation. Everything is built from this checkout; no address is asked."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# One process builds the pages, and the figures must not need a display.
os.environ.setdefault("MPLBACKEND", "Agg")
sys.path.insert(0, str(Path(__file__).parent.parent))

from docutils import nodes
from sphinx import addnodes

import qinspired

project = "qinspired"
author = "The qinspired developers"
copyright = author
release = version = qinspired.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build", "_templates", "examples", "api/generated/backreferences"]
templates_path = ["_templates"]
root_doc = "index"

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

html_theme = "pydata_sphinx_theme"
html_title = f"qinspired {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "navbar_end": ["theme-switcher"],
}
html_sidebars = {"index": [], "contributing/changelog": []}

autosummary_generate = True
# Types stand in the docstrings, with shapes; the annotations of the signatures would repeat them.
autodoc_typehints = "none"
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    # scikit-learn's metadata routing writes these, with links into its own glossary.
    "exclude-members": "set_fit_request, set_partial_fit_request, set_predict_request, set_score_request, set_transform_request",
}
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

default_role = "qinspired"
# Methods of numpy, scipy and scikit-learn that classes inherit refer to pages of those libraries.
nitpick_ignore_regex = [
    (r"py:.*", r"(numpy|scipy|sklearn|np|sp|npt)\..*"),
    (r"py:.*", r"(ndarray|array_like|ArrayLike|Generator|SeedSequence|BitGenerator|RandomState)"),
]

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "examples_built",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "backreferences_dir": "api/generated/backreferences",
    "doc_module": ("qinspired",),
    "reference_url": {"qinspired": None},
    "image_srcset": ["2x"],
    "matplotlib_animations": False,
    "remove_config_comments": True,
    "show_memory": False,
    "write_computation_times": False,
    "download_all_examples": False,
    "plot_gallery": "True",
}

_MODULES = ("baselines", "datasets", "exceptions", "metrics", "problems", "reference", "testing")


def _public_names() -> dict[str, str]:
    """Map each public name to its full one, those at the top first."""
    names = {f"qinspired.{name}": f"qinspired.{name}" for name in qinspired.__all__}
    names |= {name: f"qinspired.{name}" for name in qinspired.__all__}
    for module in _MODULES:
        for name in getattr(qinspired, module).__all__:
            full = f"qinspired.{module}.{name}"
            names[full] = names[f"{module}.{name}"] = full
            names.setdefault(name, full)
    return names


_PUBLIC = _public_names()


def _backquoted(role, rawtext, text, lineno, inliner, options=None, content=None):
    """Single backquotes in docstrings: a public name becomes a link, all else stays code."""
    del role, rawtext, lineno, options, content
    code = nodes.literal(text, text, classes=["py"])
    target = _PUBLIC.get(text)
    here = inliner.document.settings.env.current_document.docname.rpartition("/")[2]
    if target is None or here == target or text in ("ratings", "read", "ridge", "optimal_error"):
        return [code], []
    reference = addnodes.pending_xref(
        text,
        code,
        refdomain="py",
        reftype="obj",
        reftarget=target,
        refexplicit=True,
        refwarn=True,
        refdoc=inliner.document.settings.env.current_document.docname,
    )
    return [reference], []


def _escape_bars(app, what, name, obj, options, lines):
    """Norms are written |x| in docstrings; docutils would take the bars for substitutions."""
    del app, what, name, obj, options
    lines[:] = [line if line.lstrip().startswith(">>>") else line.replace("|", r"\|") for line in lines]


def setup(app):
    """Register the role of single backquotes, and the escape of bars after numpydoc."""
    app.add_role("qinspired", _backquoted)
    # After numpydoc, at 500, which adds the docstrings of properties.
    app.connect("autodoc-process-docstring", _escape_bars, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
