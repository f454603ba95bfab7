"""One HTML page of what was measured: numbers beside the published ones, plots, pictures, and all that they hang on.

Nothing on the page is fetched from elsewhere, and no script runs on it. It needs Jinja2 and matplotlib, the extra
``report``; what a page holds (``contents``) is gathered without them.
"""
