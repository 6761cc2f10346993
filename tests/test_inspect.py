"""`--mode=inspect`, end to end on small trained runs."""

import csv
import io
import json
import math
import shutil

import jax
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, message_factory, text_format
from PIL import Image
from sklearn.decomposition import PCA

from dlcore import flags, visualize, workdir
from dlcore.errors import DiskError, UsageError
from dlcore.modes import inspect, trained
from dlcore.views import View, autoencoders, embeddings, examples

# What of this file's topics fits each run.
FITTING = {
  'convnet': {'hardest'},
  'regression': {'errors'},
  'surface': {'errors', 'surface'},
  'triplet': {'plane', 'neighbours', 'projector'},
  'variational': {'plane', 'neighbours', 'projector', *autoencoders.VIEWS},
}
VIEWS = examples.VIEWS | embeddings.VIEWS | autoencoders.VIEWS


@pytest.fixture(scope='module')
def copied(finished, tmp_path_factory):
  """The function (run) -> its folder, in a copy that may be written to."""
  done = {}

  def copy(name):
    if name not in done:
      done[name] = tmp_path_factory.mktemp('inspected') / name
      shutil.copytree(finished(name).folder, done[name])
    return done[name]

  return copy


@pytest.fixture(scope='module')
def loaded(copied):
  """The function (run) -> Trained."""
  done = {}

  def load(name):
    if name not in done:
      argv = ['launch.py', '--mode=inspect', f'--workdir={copied(name)}']
      done[name] = trained.load(flags.parse(argv))
    return done[name]

  return load


def evaluated(folder):
  """The test metrics of the run that is inspected."""
  return json.loads((folder / 'summary.json').read_text())['runs'][0]['test']


def rows(text):
  return list(csv.DictReader(io.StringIO(text)))


def column(table, name):
  return np.array([float(row[name]) for row in table])


@pytest.mark.parametrize('name', FITTING)
def test_the_views_of_a_run_are_written(name, copied, command):
  folder, views = copied(name), ','.join(sorted(FITTING[name]))
  answer = command('--mode=inspect', f'--workdir={folder}', f'--what={views}')
  assert answer.status == 0 and not answer.err, answer
  lines = answer.out.splitlines()
  assert len(lines) == len(FITTING[name])
  written = [p for p in (folder / 'inspect').rglob('*') if p.is_file()]
  assert not [p for p in written if p.suffix == '.part']
  for view, line in zip(sorted(FITTING[name]), lines, strict=True):
    files, title = line.split(': ', 1)
    assert title == VIEWS[view].title
    for file in files.removeprefix(f'{folder}/inspect/').split(', '):
      path = folder / 'inspect' / file
      assert path.name.startswith(view) or path.parent.name == view
      assert path in written
      written.remove(path)
      if path.suffix == '.png':
        with Image.open(path) as picture:
          assert np.asarray(picture.convert('L')).std() > 5
      else:
        assert path.read_text().count('\n') > 5
  assert not written


@pytest.mark.parametrize('name', FITTING)
def test_only_what_fits_a_run_fits_it(name, loaded):
  run = loaded(name)
  why = {view: VIEWS[view].fits(run) for view in VIEWS}
  assert {view for view in VIEWS if not why[view]} == FITTING[name]
  assert all('\n' not in reason for reason in why.values())


def test_without_what_all_that_fits_is_written(loaded, copied, command):
  run, folder = loaded('surface'), copied('surface')
  answer = command('--mode=inspect', f'--workdir={folder}')
  assert answer.status == 0 and not answer.err, answer
  known = inspect.views()
  assert {*VIEWS} < {*known}
  expected = [view.title for view in known.values() if not view.fits(run)]
  lines = answer.out.splitlines()
  assert len(lines) == len(expected) >= 2
  for line, title in zip(lines, expected, strict=True):
    assert line.endswith(f': {title}')


def test_losses_are_those_of_the_evaluation(loaded):
  run = loaded('convnet')
  drawn = VIEWS['hardest'].draw(run, '')
  found, expected = rows(drawn['hardest.csv']), evaluated(run.folder)
  losses = column(found, 'loss')
  assert (np.diff(losses) <= 0).all()
  assert losses.mean() == pytest.approx(expected['loss'], rel=1e-4)
  right = [row['true'] == row['said'] for row in found]
  assert np.mean(right) == pytest.approx(expected['accuracy'])
  y = run.dataset.test.y[[int(row['example']) for row in found]]
  assert [row['true'] for row in found] == [str(label) for label in y]
  # On the sheet the hardest one is first.
  (ax,) = drawn['hardest.png'].axes
  first = run.dataset.test.x[int(found[0]['example'])] / 255
  shown = ax.get_images()[0].get_array()[..., :1]
  np.testing.assert_allclose(shown, first, atol=1e-6)
  assert ax.texts[0].get_text().startswith(f'true {found[0]["true"]} ')


def test_mistakes_are_there_and_the_surest_is_first(loaded):
  run = loaded('convnet')
  found = rows(VIEWS['hardest'].draw(run, '')['hardest.csv'])
  mistakes = [row for row in found if row['true'] != row['said']]
  surest = max(mistakes, key=lambda row: float(row['probability']))
  (ax,) = VIEWS['hardest'].draw(run, '')['hardest_mistakes.png'].axes
  assert len(ax.get_images()) == min(len(mistakes), examples.SHOWN)
  shown = ax.get_images()[0].get_array()[..., :1]
  expected = run.dataset.test.x[int(surest['example'])] / 255
  np.testing.assert_allclose(shown, expected, atol=1e-6)


@pytest.mark.parametrize('name', ['regression', 'surface'])
def test_errors_are_those_of_the_evaluation(name, loaded):
  run = loaded(name)
  found = rows(VIEWS['errors'].draw(run, '')['errors.csv'])
  expected, (target,) = evaluated(run.folder), run.dataset.spec.target_names
  errors = column(found, f'{target}_error')
  rmse = math.sqrt(np.mean(errors**2))
  assert rmse == pytest.approx(expected['rmse'], rel=1e-4)
  assert column(found, 'loss').mean() == pytest.approx(
    expected['loss'], rel=1e-4
  )
  assert (np.diff(abs(errors)) <= 1e-4 * abs(errors[0])).all()
  said, true = column(found, f'{target}_said'), column(found, f'{target}_true')
  np.testing.assert_allclose(said - true, errors, atol=1e-3 * abs(true).max())


def test_rows_of_a_table_are_in_their_own_units(loaded):
  run = loaded('regression')
  spec = run.dataset.spec._replace(x_mean=(30.0,), x_std=(4.0,))
  there = run._replace(dataset=run.dataset._replace(spec=spec))
  before, after = (
    column(rows(VIEWS['errors'].draw(r, '')['errors.csv']), 'x')
    for r in (run, there)
  )
  np.testing.assert_allclose(after, 30 + 4 * before, rtol=1e-4)


def test_the_plane_is_scikit_learns(loaded):
  run = loaded('triplet')
  (points,) = examples.outputs(run, 'embedding')
  figure = VIEWS['plane'].draw(run, '')['plane.png']
  ax = figure.axes[0]
  found = np.concatenate([c.get_offsets() for c in ax.collections])
  plane = PCA(2).fit(points)
  expected = plane.transform(points)
  # The points are drawn in another order, and an axis may be turned round.
  for axis in (0, 1):
    drawn = np.sort(found[:, axis])
    both = [np.sort(sign * expected[:, axis]) for sign in (1, -1)]
    assert min(abs(drawn - known).max() for known in both) < 1e-4
  share = 100 * plane.explained_variance_ratio_[0]
  assert ax.get_xlabel() == f'PC 1 ({share:.0f} %)'


def test_queries_are_of_every_class_and_frames_of_the_same(loaded):
  run = loaded('triplet')
  figure = VIEWS['neighbours'].draw(run, '')['neighbours.png']
  (ax,) = figure.axes
  assert [text.get_text() for text in ax.texts] == [*'0123456789']
  images = ax.get_images()
  row = 1 + embeddings.NEAREST
  assert len(images) == embeddings.QUERIES * row
  x, y = run.dataset.test
  which = {image.tobytes(): label for image, label in zip(x, y, strict=True)}
  label = lambda image: which[
    np.rint(255 * image.get_array()[..., :1]).astype(np.uint8).tobytes()
  ]
  framed = {patch.get_xy() for patch in ax.patches}
  for i, image in enumerate(images):
    left, _, _, top = image.get_extent()
    same = label(image) == label(images[i - i % row])
    assert ((left, top) in framed) == (i % row > 0 and same)


def projector_config():
  """The message of TensorBoard's projector_config.proto."""
  kinds = {'text': 9, 'number': 13, 'message': 11}
  file = descriptor_pb2.FileDescriptorProto(
    name='projector_config.proto', package='p', syntax='proto3'
  )
  for name, fields in {
    'Sprite': [('image_path', 'text', 1), ('single_image_dim', 'number', 2)],
    'Embedding': [
      ('tensor_name', 'text', 1),
      ('metadata_path', 'text', 2),
      ('bookmarks_path', 'text', 3),
      ('tensor_shape', 'number', 4),
      ('sprite', 'message', 5),
      ('tensor_path', 'text', 6),
    ],
    'Config': [('embeddings', 'message', 2)],
  }.items():
    message = file.message_type.add(name=name)
    for field, kind, number in fields:
      many = kind == 'number' or field == 'embeddings'
      message.field.add(
        name=field,
        number=number,
        type=kinds[kind],
        label=3 if many else 1,
        type_name={'sprite': '.p.Sprite', 'embeddings': '.p.Embedding'}.get(
          field
        ),
      )
  return message_factory.GetMessages([file])['p.Config']()


def test_the_projector_reads_its_files(loaded):
  run = loaded('triplet')
  files = VIEWS['projector'].draw(run, '')
  (embedding,) = text_format.Parse(
    files['projector/projector_config.pbtxt'], projector_config()
  ).embeddings
  assert embedding.tensor_name == 'embedding'
  tensors = np.loadtxt(
    io.StringIO(files[f'projector/{embedding.tensor_path}']), delimiter='\t'
  )
  (points,) = examples.outputs(run, 'embedding')
  np.testing.assert_allclose(tensors, points, rtol=1e-5, atol=1e-9)
  header, *lines = files[f'projector/{embedding.metadata_path}'].splitlines()
  assert header == 'example\tclass'
  x, y = run.dataset.test
  assert lines == [f'{i}\t{label}' for i, label in enumerate(y)]
  assert len(lines) == len(tensors)
  picture = files[f'projector/{embedding.sprite.image_path}']
  sheet = np.asarray(Image.open(io.BytesIO(picture)))
  width, height = embedding.sprite.single_image_dim
  across, down = sheet.shape[1] // width, sheet.shape[0] // height
  # Square, row by row, and no tile more than that needs.
  assert across == down and (across - 1) ** 2 < len(x) <= across**2
  for i in range(across * down):
    top, left = i // across * height, i % across * width
    tile = sheet[top : top + height, left : left + width]
    np.testing.assert_array_equal(tile, x[i, ..., 0] if i < len(x) else 0)


def drawn_rows(figure, count):
  """The images of a figure of `visualize.images_beside`, row by row."""
  (image,) = figure.axes[0].get_images()
  sheet = np.asarray(image.get_array())
  side = 8  # digits
  gap = (sheet.shape[1] - count * side) // (count - 1)
  step = side + gap
  return np.stack(
    [
      [
        sheet[i * step : i * step + side, j * step : j * step + side, :1]
        for j in range(count)
      ]
      for i in range((sheet.shape[0] + gap) // step)
    ]
  )


def test_reconstructions_are_those_of_the_evaluation(loaded):
  run = loaded('variational')
  drawn = VIEWS['reconstructions'].draw(run, '')
  mse = f'{evaluated(run.folder)["mse"]:.3g}'
  x, (back,) = run.dataset.test.x / 255, examples.outputs(run, 'reconstruction')
  errors = ((back - x) ** 2).mean(axis=(1, 2, 3))
  for name, which in {
    'reconstructions.png': np.arange(12),
    'reconstructions_worst.png': np.argsort(-errors)[:12],
  }.items():
    assert f'it is {mse}' in drawn[name].axes[0].get_title('left')
    found = drawn_rows(drawn[name], 12)
    np.testing.assert_allclose(found[0], x[which], atol=1e-6)
    np.testing.assert_allclose(found[1], back[which], atol=1e-5)


def test_codes_are_decoded_as_the_network_does(loaded):
  run = loaded('variational')
  codes, back = examples.outputs(run, 'code', 'reconstruction')
  decode = jax.jit(jax.vmap(autoencoders.decoder(run)))
  np.testing.assert_allclose(decode(codes), back, atol=1e-5)
  # From one test image to another: at the ends are their reconstructions.
  figure = VIEWS['interpolation'].draw(run, '')['interpolation.png']
  found = drawn_rows(figure, 2 + autoencoders.STEPS)
  assert len(found) == autoencoders.PAIRS
  x = run.dataset.test.x / 255
  place = lambda image: int(abs(x - image).sum(axis=(1, 2, 3)).argmin())
  for row in found:
    a, b = place(row[0]), place(row[-1])
    assert run.dataset.test.y[a] != run.dataset.test.y[b]
    np.testing.assert_allclose(row[[1, -2]], back[[a, b]], atol=1e-5)
  # Every unit is moved between its quantiles, the others stay.
  figure = VIEWS['traversal'].draw(run, '')['traversal.png']
  found = drawn_rows(figure, autoencoders.STEPS)
  order = np.argsort(-codes.std(axis=0))
  for row, unit in zip(found, order, strict=True):
    moved = np.repeat(codes[:1], autoencoders.STEPS, axis=0)
    moved[:, unit] = np.linspace(
      *np.percentile(codes[:, unit], [2, 98]), autoencoders.STEPS
    )
    np.testing.assert_allclose(row, decode(moved), atol=1e-5)


def test_the_manifold_is_decoded_quantiles(loaded):
  run = loaded('variational')
  figure = VIEWS['manifold'].draw(run, '')['manifold.png']
  sheet = np.asarray(figure.axes[0].get_images()[0].get_array())
  corner = autoencoders.decoder(run)(np.float32([-2.0537, 2.0537]))
  np.testing.assert_allclose(sheet[:8, :8, :1], corner, atol=1e-3)
  assert sheet.shape[0] == 30 * 8 + 29


def test_bad_input_is_one_line(copied, command, usage, tmp_path_factory):
  where = f'--workdir={copied("convnet")}'
  wrong = lambda *more: usage('--mode=inspect', *more)
  assert 'give the --workdir=DIR' in wrong()
  assert 'nowhere: no run there' in wrong('--workdir=nowhere')
  foreign = tmp_path_factory.mktemp('foreign')
  (foreign / 'notes.txt').write_text('mine')
  assert 'no run there' in wrong(f'--workdir={foreign}')
  unfinished = tmp_path_factory.mktemp('unfinished') / 'run'
  shutil.copytree(copied('convnet'), unfinished)
  (unfinished / 'summary.json').unlink()
  assert 'is not finished' in wrong(f'--workdir={unfinished}')
  said = wrong(where, '--what=hardst')
  assert "no view is called 'hardst'; the nearest: hardest" in said
  assert "called ''; there are " in wrong(where, '--what=hardest,')
  assert "called 'zzz'; there are " in wrong(where, '--what=zzz')
  assert 'listed twice' in wrong(where, '--what=hardest, hardest')
  said = wrong(where, '--what=hardest,neighbours')
  assert '--what=neighbours: does not fit ' in said
  assert 'needs the embedding or code, and this run gives scores' in said
  said = wrong(where, '--what=hardest', '--layer=0_konv')
  assert '--layer=0_konv: ' in said and '0_conv' in said


def test_a_folder_in_use_or_not_to_be_written_is_one_line(
  copied, loaded, usage, monkeypatch, tmp_path_factory
):
  where = f'--workdir={copied("convnet")}'
  with workdir.locked(copied('convnet')):
    said = usage('--mode=inspect', where, '--what=hardest', status=6)
  assert 'in use by process' in said
  folder = tmp_path_factory.mktemp('full') / 'run'
  shutil.copytree(copied('regression'), folder)
  shutil.rmtree(folder / 'inspect', ignore_errors=True)
  (folder / 'inspect').write_text('a file')
  said = usage('--mode=inspect', f'--workdir={folder}', status=7)
  assert 'cannot write' in said
  monkeypatch.setattr(inspect, 'views', dict)
  assert 'no view fits' in usage('--mode=inspect', where)


def test_a_layer_that_does_not_suit_a_view_is_told(
  copied, command, usage, monkeypatch
):
  where = f'--workdir={copied("regression")}'

  def refuse(run, layer):
    raise UsageError(f'--layer={layer}: no conv')

  views = {
    'a': View('one', lambda run: '', refuse),
    'b': View('two', lambda run: '', lambda run, layer: {'b.txt': layer}),
  }
  monkeypatch.setattr(inspect, 'views', lambda: views)
  answer = command('--mode=inspect', where, '--layer=1_dense')
  assert answer.status == 0
  first, second = answer.out.splitlines()
  assert first == 'a: left out, --layer=1_dense: no conv'
  assert second.endswith('/inspect/b.txt: two')
  said = usage('--mode=inspect', where, '--what=a', '--layer=1_dense')
  assert said == 'launch.py: --layer=1_dense: no conv'


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
  class Broken:
    def savefig(self, file, **options):
      file.write(b'half')
      raise RuntimeError('no more')

  with pytest.raises(RuntimeError, match='no more'):
    inspect.write(tmp_path / 'a' / 'b.png', Broken())
  assert not list(tmp_path.rglob('*.png*'))
  inspect.write(tmp_path / 'a' / 'b.csv', 'ä,b\n')
  assert (tmp_path / 'a' / 'b.csv').read_bytes() == 'ä,b\n'.encode()
  inspect.write(tmp_path / 'c.png', visualize.line([0, 1], [0, 1], 1, 0, 1, 0))
  with Image.open(tmp_path / 'c.png') as picture:
    assert picture.size == (720, 576)  # 6 x 4.8 inches at 120 dpi
  (tmp_path / 'd').write_text('')
  with pytest.raises(DiskError, match='cannot write'):
    inspect.write(tmp_path / 'd' / 'e.csv', '')


def test_the_line_of_many_files_is_short(tmp_path):
  line = inspect.told(tmp_path, dict.fromkeys('abcdef'), 'six')
  assert line == f'{tmp_path}/inspect/a, b, c, d and 2 more: six'


def test_the_examples_that_are_asked_for_are_shown(copied, command):
  folder = copied('convnet')
  given = f'--mode=inspect --workdir={folder} --what=feature_maps,saliency'
  pictures = []
  for asked in ('', '--examples=5,3', '--examples=3,5'):
    answer = command(*given.split(), *asked.split())
    assert answer.status == 0, answer.err
    found = [
      *(folder / 'inspect').glob('feature_maps*.png'),
      *(folder / 'inspect').glob('saliency*.png'),
    ]
    pictures.append({path.name: path.read_bytes() for path in found})
  first, second, third = pictures
  assert first.keys() == second.keys() == third.keys()
  for name in first:
    assert len({first[name], second[name], third[name]}) == 3
  for wrong in ('a', '3,3', '999', '-1', '1,,2', '1.5', '9' * 30):
    answer = command(*given.split(), f'--examples={wrong}')
    assert answer.status == 2 and answer.err.count('\n') == 1
    assert 'from 0 to 358' in answer.err
  answer = command(
    *given.split(), '--examples=' + ','.join(map(str, range(13)))
  )
  assert answer.status == 2 and 'at most 12' in answer.err
