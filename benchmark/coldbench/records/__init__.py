"""What was measured: records, their comparison, and how they are shown. Nothing here needs torch."""

#: How records can be printed; see ``coldbench.records.formats``.
FORMATS = ("markdown", "latex", "csv", "json", "html")
#: How pictures of images can be written; all but PNG need matplotlib. See ``coldbench.records.sheet``.
FIGURE_FORMATS = ("png", "pdf", "svg")
#: How boards can be; see ``coldbench.records.board_formats``.
BOARD_FORMATS = ("markdown", "csv", "json", "html")
