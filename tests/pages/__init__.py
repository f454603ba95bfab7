"""The parts of README and manual that are made from stored records: ``python -m tests.pages`` writes them anew.

A part stands between two comments, the first of which names the command that prints it::

    <!-- filled by: coldbench show results/reference/full/table-1.json -->
    <!-- end -->
"""
