"""The nearest images by embedding, against scikit-learn."""

import csv

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from dlcore import errors, flags
from dlcore.modes import predict, search, trained

COUNT = 40


@pytest.fixture(scope='module')
def gallery(digits, tmp_path_factory):
  """A folder of test images, in folders by class."""
  root = tmp_path_factory.mktemp('gallery')
  for i, (x, y) in enumerate(zip(*digits.test, strict=True)):
    if i < COUNT:
      (root / str(y)).mkdir(exist_ok=True)
      Image.fromarray(x[..., 0]).save(root / str(y) / f'{i:03}.png')
  return root


def ask(finished, name, **options):
  """Searches with these options; gives the rows of nearest.csv."""
  argv = ['launch.py', '--mode=search', f'--workdir={finished(name).folder}']
  run = trained.load(flags.parse(argv))
  chosen = run.settings.options.__class__(
    **{k: v if k == 'nearest' else str(v) for k, v in options.items()}
  )
  search.main(run._replace(settings=run.settings._replace(options=chosen)))
  with open(f'{options["output"]}/nearest.csv', newline='') as file:
    return run, list(csv.DictReader(file))


@pytest.mark.parametrize('name', ['triplet', 'autoencoder'])
def test_the_order_is_that_of_scikit_learn(
  name, finished, gallery, tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr(predict, 'CHUNK', 16)  # several, the last one short
  query = sorted(gallery.rglob('*.png'))[7]
  files = sorted(str(p.relative_to(gallery)) for p in gallery.rglob('*.png'))
  run, rows = ask(
    finished,
    name,
    gallery=gallery,
    input=query,
    nearest=12,
    output=tmp_path / 'a' / 'b',
  )
  x = np.stack([np.asarray(Image.open(gallery / f)) for f in files])[..., None]
  apply, params = run.experiment(0).outputs, run.params(0)
  (kind,) = {'embedding', 'code'} & {*apply(params, x[0] / np.float32(255))}
  z = [np.ravel(apply(params, i / np.float32(255))[kind]) for i in x]
  oracle = NearestNeighbors(n_neighbors=12).fit(np.stack(z))
  distances, order = oracle.kneighbors(z[7:8])
  assert [row['file'] for row in rows] == [files[i] for i in order[0]]
  assert [row['rank'] for row in rows] == [str(i) for i in range(1, 13)]
  found = [float(row['distance']) for row in rows]
  np.testing.assert_allclose(found, distances[0], rtol=1e-4, atol=1e-5)
  # The same image is there, and first.
  assert rows[0]['file'] == str(query.relative_to(gallery)) and found[0] == 0
  printed = capsys.readouterr().out.splitlines()
  assert printed[0].split() == ['rank', 'distance', 'file']
  assert printed[2].split() == ['2', f'{found[1]:.4g}', rows[1]['file']]
  assert len(printed) == 14 and str(tmp_path / 'a' / 'b') in printed[-1]
  assert sorted(p.name for p in (tmp_path / 'a' / 'b').iterdir()) == [
    'nearest.csv',
    'nearest.png',
  ]
  with Image.open(tmp_path / 'a' / 'b' / 'nearest.png') as sheet:
    assert min(sheet.size) > 300 and np.asarray(sheet.convert('L')).std() > 20


def test_an_image_from_elsewhere_and_a_small_gallery(
  finished, digits, tmp_path, command
):
  (tmp_path / 'few').mkdir()
  for i in range(3):
    name = f'{"long" * 20} $n_{i}$.png'
    Image.fromarray(digits.test.x[i, ..., 0]).save(tmp_path / 'few' / name)
  Image.fromarray(digits.test.x[9, ..., 0]).save(tmp_path / 'query.png')
  answer = command(
    '--mode=search',
    f'--workdir={finished("triplet").folder}',
    f'--gallery={tmp_path}/few',
    f'--input={tmp_path}/query.png',
  )
  assert (answer.status, answer.err) == (0, '')
  assert len(answer.out.splitlines()) == 5
  # The default place.
  folder = finished('triplet').folder / 'search'
  with (folder / 'nearest.csv').open(newline='') as file:
    distances = [float(row['distance']) for row in csv.DictReader(file)]
  assert distances == sorted(distances) and distances[0] > 0


def test_a_name_is_shortened_at_its_front():
  assert search.end('a/b.png') == 'a/b.png'
  assert search.end('abc/' * 9 + '123.png') == '…bc/abc/123.png'
  assert len(search.end('x' * 99)) == search.LETTERS
  assert search.end('a\nb') == 'a?b'


def test_what_cannot_work_is_one_line(
  usage, finished, gallery, tmp_path_factory
):
  other = tmp_path_factory.mktemp('other')
  (other / 'empty').mkdir()
  (other / 'broken').mkdir()
  (other / 'broken' / 'a.png').write_text('no image')
  Image.fromarray(np.zeros((9, 9), np.uint8)).save(other / 'large.png')
  image = next(gallery.rglob('*.png'))
  known = {'--gallery': gallery, '--input': image}

  def ask(run='triplet', status=3, **options):
    chosen = known | {f'--{name}': value for name, value in options.items()}
    given = [f'{k}={v}' for k, v in chosen.items() if v is not None]
    folder = f'--workdir={finished(run).folder}'
    return usage('--mode=search', folder, *given, status=status)

  assert '--gallery: not given' in ask(gallery=None, status=2)
  assert '--input: not given' in ask(input=None, status=2)
  assert 'is a folder; give one image' in ask(input=gallery, status=2)
  assert 'is a file; give a folder' in ask(gallery=image, status=2)
  assert 'does not exist' in ask(gallery=other / 'none')
  assert 'no images there' in ask(gallery=other / 'empty')
  assert "1 unreadable image(s): 'a.png'" in ask(gallery=other / 'broken')
  assert 'is 9x9; the run was trained' in ask(input=other / 'large.png')
  assert 'is a file; give a folder' in ask(output=image, status=2)
  assert 'cannot be written' in ask(output=image / 'below', status=2)
  assert 'at least 1' in ask(nearest=0, status=2)
  line = ask('classification', status=2)
  assert 'no embedding' in line and '--experiment=triplet' in line
  assert 'no embedding' in ask('regression', status=2)


def test_a_table_has_no_pictures(finished, gallery, monkeypatch):
  monkeypatch.setattr(predict, 'outputs', lambda run: {'embedding'})
  image = next(gallery.rglob('*.png'))
  with pytest.raises(errors.DataError, match='trained on rows of 1 number'):
    ask(finished, 'regression', gallery=gallery, input=image)
