"""The report page: what a finished run, or several, came to, in one HTML file.

`write` makes `report.html` from the files of a run alone: no JAX, no network,
nothing but the page. Pictures and charts are inlined. The parts: `record` reads
a folder, `facts` and `noticed` put the page of a run together, `versus` that of
several, `charts` draws, `blocks` is what a page is made of, `page.html` how it
looks, `document` writes it.
"""

from dlcore.page.document import NAME, compare, render, save, write
from dlcore.page.record import Record, read

__all__ = ['NAME', 'Record', 'compare', 'read', 'render', 'save', 'write']
