"""Sphinx's settings, and what it does not do by itself: moving labs, equations as MathML, docstrings as they are."""

import re
from html import escape
from pathlib import Path

import nbformat
import ziamath  # it carries the font
from docutils import nodes
from math_core import LatexToMathML

from docs import api
from docs.labs import moving

project, author, copyright = "offac_lite", "the offac_lite authors", "2026, the offac_lite authors"
extensions = ["myst_nb", "sphinx_copybutton", "sphinx.ext.autodoc", "sphinxext.opengraph"]
html_theme, html_title, language = "furo", "offac_lite", "en"
FONT = Path(ziamath.__file__).parent / "fonts" / "STIXTwoMath-Regular.ttf"
html_static_path, html_css_files, html_js_files = ["static", str(FONT)], ["site.css"], ["site.js"]
html_sourcelink_suffix = ""  # the notebook that a page offers is called what it is called here
html_math_renderer, html_use_index, html_domain_indices = "mathml", False, False
add_module_names, python_use_unqualified_type_names, autodoc_typehints_format = False, True, "short"
autodoc_preserve_defaults, python_maximum_signature_line_length = True, 130
myst_enable_extensions, myst_heading_anchors = ["dollarmath"], 3
nb_execution_mode, nb_ipywidgets_js = "off", {}
copybutton_selector = ", ".join(f"div.{kind} pre" for kind in ("cell_input", "highlight-bash", "highlight-powershell"))
suppress_warnings, smartquotes = ["mystnb.lexer"], False
ogp_image, ogp_image_alt = "_images/before_and_after.png", "Three cart-poles side by side, at work."  # of shared links
ogp_custom_meta_tags = ['<meta name="twitter:card" content="summary_large_image" />']
NOTE = """
> You are reading the notebook as it ran. Where a lab has its controls here they work, at settings chosen beforehand.
> To run cells and have your exercises checked, [set the course up]({up}index.md#start), which brings
> <a href="{up}_sources/{document}.ipynb" download>this notebook</a> along.
"""
LAUNCH = """>
> Or run it in a browser: [Colab](https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name}.ipynb),
> [Binder](https://mybinder.org/v2/gh/{repository}/main?labpath=my_course/{name}.ipynb),
> [Codespaces](https://codespaces.new/{repository}).
"""
PROGRESS = re.compile(r"\d+%\|")
TAG = re.compile(r"\\tag\{(.*?)\}")


def prepare(app, document: str, source: list[str]) -> None:
    """Change a notebook's text as it is read: no progress bars, words for each picture, labs that move."""
    if not str(app.env.doc2path(document)).endswith(".ipynb"):
        return
    name, chosen = document.removeprefix("notebooks/"), app.config.labs.split()
    notebook = nbformat.reads(source[0], as_version=4)
    up = "../" * document.count("/")
    notebook.cells[0].source += "\n" + NOTE.format(document=document, up=up)
    if repository := app.config.repository:
        notebook.cells[0].source += LAUNCH.format(repository=repository, name=name)
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        cell.outputs = [o for o in cell.outputs if not PROGRESS.search(o.get("data", {}).get("text/plain", ""))]
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                cell.metadata["mystnb"] = {"image": {"alt": output.metadata["image/png"]["alt"]}}
        wanted = "all" in chosen or name.rpartition("/")[2].startswith(tuple(chosen))
        if html := wanted and moving(name, cell.source, Path(app.outdir)):
            cell.outputs = [nbformat.v4.new_output("display_data", {"text/html": html})]
    source[0] = nbformat.writes(notebook)


def equation(translator, node) -> None:
    """Write an equation as MathML, with its number, if it has one, at the right."""
    tex, block, builder = node.astext(), isinstance(node, nodes.math_block), translator.builder
    tag = TAG.search(tex)
    math = LatexToMathML().convert_with_local_state(TAG.sub("", tex).strip(), displaystyle=block)
    number = ""
    if tag:  # it leads to the function that implements the equation
        one = next(one for one in api.equations() if one.number == tag[1])
        page = builder.get_relative_uri(builder.current_docname, f"api/{one.room}")
        number = f'<a class="number" href="{page}#{one.function}" title="{one.function}">({escape(tag[1])})</a>'
    place = f' id="equation-{tag[1]}"' if tag else ""
    translator.body.append(f'<div class="math"{place}>{math}{number}</div>' if block else math)
    raise nodes.SkipNode


def setup(app) -> dict:
    """Add them to Sphinx; `labs` names the notebooks whose labs move, by their numbers.

    `repository` is OWNER/NAME on GitHub, from which notebooks are opened in a browser; empty where there is none.
    """
    app.add_config_value("labs", "all", "env", str)
    app.add_config_value("repository", "", "env", str)
    app.connect("source-read", prepare)
    app.connect("autodoc-process-docstring", api.process_docstring)
    app.connect("autodoc-skip-member", api.skip_member)
    app.add_html_math_renderer("mathml", (equation, None), (equation, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
