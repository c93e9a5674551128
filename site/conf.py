"""How the pages of the course are made: from executed notebooks, without a network."""

from importlib.metadata import distribution

project = "Deep residual networks"
author = "The course authors"
project_copyright = "2026, The course authors"
language = "en_GB"

extensions = ["myst_nb", "sphinx_design", "sphinx_copybutton", "sphinx.ext.mathjax"]
exclude_patterns = []

# The notebooks come executed.
nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show = "Show the solution"  # nothing else is folded
nb_code_prompt_hide = "Hide the solution"
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
# Cells may begin with any heading; a lesson's key result is shown as its plain text.
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]

# Nothing is asked of another host: formulas by the one file of MathJax, no widgets.
nb_ipywidgets_js = {}
mathjax_file = distribution("sphinx-mathjax-offline").locate_file(
    "sphinx-mathjax-offline/static/mathjax/tex-svg-full.js"
)
mathjax_path = "tex-svg-full.js"
html_static_path = ["course.css", str(mathjax_file)]
html_css_files = ["course.css"]

html_theme = "sphinx_book_theme"
html_title = "Deep residual networks, a course"
html_show_sphinx = False
html_last_updated_fmt = None
html_theme_options = {
    "home_page_in_toc": True,
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_fullscreen_button": False,
    "navbar_persistent": [],  # the search field of the sidebar is enough
}
copybutton_exclude = ".linenos, .gp, .go"
