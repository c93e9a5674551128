"""How the pages of the course are made: from executed notebooks, without a network."""

import json
import os
import re
import sys
from importlib.metadata import distribution
from itertools import pairwise
from pathlib import Path

from docutils import nodes
from sphinx.search import SearchLanguage

project = "Deep residual networks"
author = "The course authors"
project_copyright = "2026, The course authors"
language = "en"  # the script of en_GB fails on a search of several pages

extensions = [
    "myst_nb",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx.ext.mathjax",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = []

# The notebooks come executed.
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables that cells display are tables
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
# Cells may begin with any heading; a lesson's key result is shown as its plain text.
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]

# The pages of course_utils: what a module defines itself, in its own order.
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "ignore-module-all": True,
}
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 72
add_module_names = False
toc_object_entries_show_parents = "hide"
napoleon_use_ivar = True
default_role = "py:obj"  # `name` is code, and a link where there is such a name

# Nothing is asked of another host: formulas by the one file of MathJax, no widgets.
nb_ipywidgets_js = {}
mathjax_file = distribution("sphinx-mathjax-offline").locate_file(
    "sphinx-mathjax-offline/static/mathjax/tex-svg-full.js"
)
mathjax_path = "tex-svg-full.js"
html_static_path = ["course.css", "print.js", "favicon.svg", str(mathjax_file)]
html_css_files = ["course.css"]
html_js_files = ["print.js"]
html_favicon = "favicon.svg"

html_theme = "sphinx_book_theme"
html_title = "Deep residual networks, a course"
html_show_sphinx = False
html_search_scorer = str(Path(__file__).with_name("search.js"))
# The search fetches a page to show a part of it. A page read from a folder may fetch no
# other, so it gets the text of all pages from a script.
PAGES_JS = """const pages = %s;
window.fetch = async (url) => ({
  text: async () => `<div role="main">${pages[url]}</div>`,
});
"""
page_texts = {}
TRANSLATED = {"index", "glossary"} | {
    f"notebooks/{path.stem}"
    for path in Path(__file__).parents[1].glob("notebooks/zh/*.ipynb")
}
html_use_index = False  # the search and the glossary serve better
html_domain_indices = False
html_last_updated_fmt = None
html_theme_options = {
    "home_page_in_toc": False,
    "logo": {
        "image_light": "_static/favicon.svg",
        "image_dark": "_static/favicon.svg",
        "alt_text": "Home",
        "text": "Deep residual networks",
    },
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_fullscreen_button": False,
    "navbar_persistent": [],  # the search field of the sidebar is enough
}
if os.environ.get("HOSTED"):  # buttons that open a lesson of the hosted edition
    sys.path.append(str(Path(__file__).parents[1] / "tools"))
    from hosted_edition import launch_buttons

    html_theme_options |= launch_buttons(os.environ["HOSTED"])
templates_path = ["templates"]
html_theme_options["article_header_end"] = [
    "language.html",
    "article-header-buttons.html",
]
html_context = {"default_mode": "auto"}  # else the theme logs an error
copybutton_exclude = ".linenos, .gp, .go"


def sections_as_fields(app, what, name, obj, options, lines):
    """Show the docstring sections `Source` and `Taught in` as fields of their own."""
    text = re.sub(
        r"^(Source|Taught in): (.+(?:\n(?!Source: |Taught in: |:).+)*)",
        lambda found: f"\n:{found[1]}: {' '.join(found[2].split())}\n",
        "\n".join(lines),
        flags=re.M,
    )
    for lesson in Path(app.srcdir, "notebooks").glob("*.ipynb"):
        number = lesson.name.partition("_")[0]  # "01", or "01b" for a deep dive
        link = f":doc:`lesson {number} </notebooks/{lesson.stem}>`"
        text = re.sub(rf"(?<=^:Taught in: )lesson {number}\b", link, text, flags=re.M)
    lines[:] = text.split("\n")


def number_figures(app, doctree):
    """Tell the figures of one cell apart in their descriptions."""
    for cell in doctree.findall(nodes.container):
        if "cell_output" in cell["classes"]:
            images = list(cell.findall(nodes.image))
            for number, image in enumerate(images, 1):
                if len(images) > 1:
                    image["alt"] += f" ({number} of {len(images)})"


def keep_text(app, pagename, templatename, context, doctree):
    """Keep the text of each page, with its sections and terms, for the search page."""
    if doctree:
        body = re.sub(r'<a class="headerlink".+?</a>', "", context["body"])
        text = re.sub(r"<(?!/?section|dt id=)[^>]+>", "", body.replace("</dt>", ": "))
        page_texts[f"./{app.builder.get_target_uri(pagename)}"] = " ".join(text.split())
    elif pagename == "search":  # comes last
        script = Path(app.outdir, "_static", "pages.js")
        script.write_text(PAGES_JS % json.dumps(page_texts), "utf-8")
        app.add_js_file(script.name, loading_method="defer")


def link_other_language(app, pagename, templatename, context, doctree):
    """Let each page lead to the same one in the other language, or to its first."""
    if not app.tags.has("two_languages"):
        return
    other = pagename if pagename in TRANSLATED else "index"
    folder = ".." if app.config.language == "zh_CN" else "zh"
    root = "../" * pagename.count("/")
    context["other_language"] = f"{root}{folder}/{other}.html"


class PairsOfCharacters(SearchLanguage):
    """Chinese without a dictionary: each two neighbours are a word, here and there."""

    lang = "zh"
    language_name = "Chinese"
    js_splitter_code = r"""
function splitQuery(query) {
  const runs = query.match(/[\u4e00-\u9fff]+|[a-z0-9_]+/gi) || [];
  return runs.flatMap((run) => run < "\u4e00" || run.length < 2 ? [run]
    : Array.from({ length: run.length - 1 }, (_, at) => run.slice(at, at + 2)));
}
"""

    def split(self, text):
        """Return Latin words, and the pairs of Chinese characters."""
        for run in re.findall("[\u4e00-\u9fff]+|[a-zA-Z0-9_]+", text):
            if run < "\u4e00" or len(run) < 2:
                yield run.lower()
            else:
                yield from map("".join, pairwise(run))


def name_in_chinese(app, config):
    """Give the pages in Chinese the course's Chinese name, and its authors theirs."""
    if config.language == "zh_CN":
        config.html_theme_options["logo"] |= {
            "text": "深度残差网络",
            "alt_text": "首页",
        }
        config.html_theme_options["search_bar_text"] = "搜索……"
        config.author = "本课程作者"
        config.copyright = f"2026，{config.author}"


def setup(app):
    """Connect the functions above."""
    app.connect("config-inited", name_in_chinese)
    app.add_search_language(PairsOfCharacters)
    app.connect("html-page-context", link_other_language)
    app.connect("autodoc-process-docstring", sections_as_fields, priority=900)
    app.connect("doctree-read", number_figures)
    app.connect("html-page-context", keep_text)
