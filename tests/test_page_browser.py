"""The report page in a real browser: three widths, light and dark.

Each width is an iframe, so that one start of the browser shows them all; a
script in the copy of the page writes what it finds into the document, which
Chromium prints.
"""

import html
import json
import re
import shutil
import subprocess

import pytest

from dlcore import page

CHROMIUM = next(
  filter(
    None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))
  ),
  None,
)
pytestmark = pytest.mark.skipif(
  CHROMIUM is None, reason='no Chromium or Chrome is installed here'
)
WIDTHS = (360, 768, 1280)
FLAGS = (
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
  '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--hide-scrollbars',
  '--window-size=1400,1000', '--virtual-time-budget=3000',
  '--run-all-compositor-stages-before-draw',
)  # fmt: skip
LISTEN = """<script>
const wrong = [];
console.error = console.warn = (...said) => wrong.push(said.join(' '));
addEventListener('error', e => wrong.push(e.message || e.target.tagName), true);
</script>"""
LOOK = """<script>
addEventListener('load', async () => {
  const root = document.documentElement;
  const found = {width: innerWidth, wide: [root.scrollWidth, root.clientWidth]};
  for (const part of document.querySelectorAll('details')) part.open = true;
  found.opened = root.scrollWidth;
  found.images = [...document.images].map(i => i.complete && i.naturalWidth);
  found.paper = getComputedStyle(document.body).backgroundColor;
  found.ink = getComputedStyle(document.body).color;
  found.line = getComputedStyle(document.querySelector('.chart .line')).stroke;
  found.small = Math.min(...[...document.querySelectorAll('.chart text')].map(
    t => parseFloat(getComputedStyle(t).fontSize)
      * t.ownerSVGElement.getBoundingClientRect().width
      / t.ownerSVGElement.viewBox.baseVal.width));
  found.out = [...document.querySelectorAll('main *')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.right > innerWidth + 1 && !e.closest('.scroll');
  }).map(e => e.tagName);
  found.tables = [...document.querySelectorAll('table')].map(table => {
    const heads = [...table.tHead.rows[0].cells];
    return heads.map((head, column) => [1, 2].map(() => {
      head.querySelector('button').click();
      return [head.getAttribute('aria-sort'), head.className,
        [...table.tBodies[0].rows].map(
          r => r.cells[column].dataset.value ?? null)];
    }));
  });
  found.wrong = wrong;
  parent.postMessage(found, '*');
});
</script>"""
HARNESS = """<!DOCTYPE html><meta name="color-scheme" content="light dark">
<pre id="found"></pre><script>
const all = [];
addEventListener('message', e => {
  all.push(e.data);
  document.getElementById('found').textContent = JSON.stringify(all);
});
</script>"""


def browse(folder, pages, dark):
  """Shows pages at every width; gives what their scripts found."""
  frames = []
  for i, text in enumerate(pages):
    text = text.replace('<head>', '<head>' + LISTEN)
    (folder / f'{i}.html').write_text(text.replace('</body>', LOOK + '</body>'))
    frames += [
      f'<iframe src="{i}.html" style="width:{width}px;height:800px;border:0">'
      '</iframe>'
      for width in WIDTHS
    ]
  (folder / 'all.html').write_text(HARNESS + ''.join(frames))
  look = [f'--blink-settings=preferredColorScheme={0 if dark else 1}']
  done = subprocess.run(
    [CHROMIUM, *FLAGS, *look, f'--user-data-dir={folder / "user"}']
    + ['--dump-dom', f'file://{folder / "all.html"}'],
    capture_output=True,
    text=True,
    timeout=120,
  )
  match = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)
  assert match, done.stderr[-2000:]
  return json.loads(html.unescape(match[1]) or '[]')


@pytest.fixture(scope='module', params=[False, True], ids=['light', 'dark'])
def seen(request, finished, command, tmp_path_factory):
  """What was found on the pages of runs and of their comparison."""
  place = tmp_path_factory.mktemp('browser')
  first = finished('convnet').folder
  others = [finished(name).folder for name in ('triplet', 'surface')]
  output = place / 'compare.html'
  again = place / 'a-rather-long-name-of-a-run-that-is-compared-with-another'
  shutil.copytree(first, again, ignore=shutil.ignore_patterns('checkpoint'))
  done = command('--mode=compare', str(first), str(again), f'--output={output}')
  assert done.status == 0, done.err
  paths = [folder / page.NAME for folder in (first, *others)] + [output]
  pages = [path.read_text(encoding='utf-8') for path in paths]
  found = browse(place, pages, request.param)
  assert len(found) == len(pages) * len(WIDTHS)
  return found, request.param


def test_nothing_is_wider_than_the_screen(seen):
  found, _ = seen
  assert sorted({one['width'] for one in found}) == [*WIDTHS]
  for one in found:
    needed, there = one['wide']
    assert needed <= there, one['width']
    assert one['opened'] <= there, one['width']
    assert one['out'] == [], one['width']


def test_nothing_goes_wrong_and_images_are_there(seen):
  found, _ = seen
  for one in found:
    assert one['wrong'] == []
    assert all(width > 0 for width in one['images'])
  assert sum(len(one['images']) for one in found) >= 3 * len(WIDTHS)


def test_it_can_be_read_in_light_and_dark(seen):
  found, dark = seen

  def brightness(colour):
    return sum(map(float, re.findall(r'[\d.]+', colour)[:3])) / 765

  for one in found:
    paper, ink, line = map(brightness, (one['paper'], one['ink'], one['line']))
    assert (paper < 0.2) is dark
    assert abs(paper - ink) > 0.7 and abs(paper - line) > 0.2
    assert one['small'] >= 9


def test_a_click_on_a_head_sorts_its_table(seen):
  found, _ = seen
  tables = [table for one in found for table in one['tables']]
  assert len(tables) > 2 * len(WIDTHS)
  for rising, falling in [column for table in tables for column in table]:
    for (order, kind, values), wanted in (
      (rising, 'ascending'),
      (falling, 'descending'),
    ):
      assert order == wanted
      there = [value for value in values if value is not None]
      # What is missing comes last, either way.
      assert values == there + [None] * (len(values) - len(there))
      if kind == 'number':
        numbers = [float(value) for value in there]
        assert numbers == sorted(numbers, reverse=wanted == 'descending')
    up, down = rising[2], falling[2]
    if len({*up}) == len(up) and None not in up:
      assert down == up[::-1]
  moved = [c for t in tables for c in t if c[0][2] != c[1][2]]
  assert moved
