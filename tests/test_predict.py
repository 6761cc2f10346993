"""What a trained run says of new data, against what its parts say."""

import csv
import errno
import json

import jax
import numpy as np
import pytest
from PIL import Image
from scipy import special

from dlcore import errors, flags, metrics, sweep
from dlcore.data import folder, images, tables
from dlcore.modes import predict, trained

RNG = np.random.default_rng(5)
EXTRA = {
  'houses': '--experiment=regression --target=price --hidden=4 --batch_size=8',
  'scenes': '--experiment=classification --network=linear --resize=6',
}


def houses(file, count=60, seed=0):
  rng = np.random.default_rng(seed)
  rows = [
    (rng.integers(40, 200), rng.choice(['flat', 'villa']), rng.integers(2000))
    for _ in range(count)
  ]
  lines = [f'{a},{k},{b},{1000 * a + b}' for a, k, b in rows]
  file.write_text('\n'.join(['area,kind,built=year,price', *lines]) + '\n')


def scenes(root):
  for c, colour in enumerate([(200, 40, 40), (40, 40, 200)]):
    (root / 'rb'[c]).mkdir(parents=True)
    for i in range(12):
      x = np.clip(np.array(colour) + RNG.integers(-30, 30, (9, 7, 3)), 0, 255)
      Image.fromarray(x.astype(np.uint8)).save(root / 'rb'[c] / f'{i}.png')


@pytest.fixture(scope='module')
def folders(finished, command, tmp_path_factory):
  """The function (name of a run) -> its folder."""
  place = tmp_path_factory.mktemp('more')
  known = {}

  def find(name):
    if name not in EXTRA:
      return finished(name).folder
    if name not in known:
      known[name] = place / name
      if name == 'houses':
        houses(place / 'houses.csv')
        data = f'csv:{place}/houses.csv'
      else:
        scenes(place / 'photos')
        data = f'folder:{place}/photos'
      argv = [*EXTRA[name].split(), '--epochs=2', f'--dataset={data}']
      answer = command(*argv, f'--workdir={known[name]}')
      assert answer.status == 0, answer.err
    return known[name]

  return find


@pytest.fixture(scope='module')
def opened(folders):
  """The function (name of a run) -> Trained, read back once."""
  known = {}

  def find(name):
    if name not in known:
      argv = ['launch.py', '--mode=predict', f'--workdir={folders(name)}']
      known[name] = trained.load(flags.parse(argv))
    return known[name]

  return find


@pytest.fixture
def said(opened, tmp_path):
  """The function (run, input, options) -> what was written."""

  def ask(name, given, ending='npz', **options):
    run = opened(name)
    output = tmp_path / f'said.{ending}'
    chosen = run.settings.options.__class__(
      input=str(given), output=str(output), **options
    )
    predict.main(run._replace(settings=run.settings._replace(options=chosen)))
    assert not list(tmp_path.glob('*.part'))
    if ending == 'npz':
      with np.load(output) as arrays:
        return dict(arrays)
    with output.open(newline='') as file:
      return list(csv.DictReader(file))

  return ask


def direct(run, at, x):
  """What one run says of whole images in [0, 1], or of rows."""
  apply = run.experiment(run.best[at]).outputs
  return jax.vmap(lambda one: apply(run.params(run.best[at]), one))(x)


def summed_up(run):
  summary = json.loads((run.folder / 'summary.json').read_text())
  return summary['runs'][run.best[0]]['test']


def saved(tmp_path, x):
  """The same images in four forms, the folder's names in another order."""
  np.save(tmp_path / 'x.npy', x)
  np.savez(tmp_path / 'x.npz', x=x, other=np.zeros(3))
  np.savez(tmp_path / 'floats.npz', x / 255)
  for i, image in enumerate(x[..., 0]):
    (tmp_path / 'folder' / f'{i % 3}').mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(tmp_path / 'folder' / f'{i % 3}' / f'{i}.png')
  return [tmp_path / n for n in ('x.npy', 'x.npz', 'floats.npz', 'folder')]


def test_every_form_of_the_test_split_gives_the_accuracy_of_the_summary(
  said, opened, tmp_path, monkeypatch
):
  monkeypatch.setattr(predict, 'CHUNK', 100)  # several, the last one short
  run = opened('classification')
  x, y = run.dataset.test
  scores = direct(run, 0, x / np.float32(255))['scores']
  expected = special.softmax(np.asarray(scores, np.float64), -1)
  for path in saved(tmp_path, x):
    found = said('classification', path)
    assert [*found] == ['names', 'class_names', 'labels', 'probabilities']
    at = np.arange(len(x))
    if path.is_dir():
      assert found['names'].tolist() == sorted(found['names'])
      at = np.array([int(n.split('/')[1][:-4]) for n in found['names']])
    else:
      assert found['names'].tolist() == [str(i) for i in at]
    assert sorted(at) == list(range(len(x)))
    np.testing.assert_allclose(found['probabilities'], expected[at], atol=1e-6)
    accuracy = np.mean(found['labels'] == y[at])
    assert accuracy == pytest.approx(summed_up(run)['accuracy'], abs=1e-6)
  assert found['class_names'].tolist() == list(run.dataset.spec.class_names)


def test_a_table_of_classes(said, opened, tmp_path):
  run = opened('classification')
  path = saved(tmp_path, run.dataset.test.x[:5])[0]
  arrays, rows = (
    said('classification', path),
    said('classification', path, 'csv'),
  )
  names = run.dataset.spec.class_names
  assert [*rows[0]] == ['name', 'class', *(f'p_{c}' for c in names)]
  for i, row in enumerate(rows):
    assert row['name'] == str(i)
    assert row['class'] == names[arrays['labels'][i]]
    found = np.array([row[f'p_{c}'] for c in names], np.float32)
    np.testing.assert_array_equal(found, arrays['probabilities'][i])
    assert row['class'] == names[found.argmax()]


def test_one_image(said, opened, tmp_path, command, folders):
  run = opened('classification')
  path = tmp_path / 'a name, with a comma.png'
  Image.fromarray(run.dataset.test.x[0, ..., 0]).save(path)
  (row,) = said('classification', path, 'csv')
  assert row['name'] == path.name
  # By the front door, over what is there.
  output = tmp_path / 'said.csv'
  answer = command(
    '--mode=predict',
    f'--workdir={folders("classification")}',
    f'--input={path}',
    f'--output={output}',
  )
  assert (answer.status, answer.err) == (0, '')
  labels = sweep.settings(run.settings.swept)[run.best[0] // 2]
  told = f'by seed=0 learning_rate={labels["learning_rate"]:g} in {output}'
  assert answer.out == f'1 prediction(s) {told}\n'
  with output.open(newline='') as file:
    assert list(csv.DictReader(file)) == [row]


def test_an_ensemble_is_the_mean_of_its_members(said, opened, tmp_path):
  run = opened('classification')
  x = run.dataset.test.x[:50]
  path = saved(tmp_path, x)[0]
  members = np.stack(
    [
      special.softmax(
        np.asarray(direct(run, at, x / np.float32(255))['scores'], np.float64),
        -1,
      )
      for at in range(len(run.best))
    ]
  )
  assert len(members) == 2 and np.ptp(members, axis=0).max() > 1e-3
  found = said('classification', path, ensemble=True)
  np.testing.assert_allclose(found['probabilities'], members.mean(0), atol=1e-6)
  spread = abs(members[0] - members[1]) / 2**0.5
  np.testing.assert_allclose(found['probabilities_std'], spread, atol=1e-6)
  rows = said('classification', path, 'csv', ensemble=True)
  assert float(rows[7]['std_3']) == pytest.approx(spread[7, 3], abs=1e-6)


@pytest.mark.parametrize('ensemble', [False, True])
def test_calibration(said, opened, tmp_path, capsys, ensemble):
  run = opened('classification')
  x, y = run.dataset.validation
  path = saved(tmp_path, x)[0]
  plain = said('classification', path, ensemble=ensemble)
  capsys.readouterr()
  found = said('classification', path, ensemble=ensemble, calibrate=True)
  line = capsys.readouterr().out.splitlines()[0]
  # Of an average, the logarithm takes the place of the scores.
  logits = np.log(plain['probabilities'])
  heat = float(metrics.temperature_scaling(logits, y))
  assert abs(heat - 1) > 0.1
  told = dict(zip(('temperature', 'NLL'), (heat, 0), strict=True))
  assert float(line.split()[1][:-1]) == pytest.approx(told['temperature'], 1e-3)
  by_hand = special.softmax(logits / heat, -1)
  np.testing.assert_allclose(found['probabilities'], by_hand, atol=1e-4)
  np.testing.assert_array_equal(found['labels'], plain['labels'])
  nll = [
    -np.mean(np.log(p['probabilities'][np.arange(len(y)), y]))
    for p in (plain, found)
  ]
  ece = [float(metrics.ece(p['probabilities'], y)) for p in (plain, found)]
  assert nll[1] < nll[0]
  assert line.endswith(
    f'ECE {ece[0]:.4f} before, {ece[1]:.4f} after; '
    f'NLL {nll[0]:.4f} before, {nll[1]:.4f} after'
  )


def test_calibration_by_right_answers_alone_changes_nothing(opened):
  run = opened('classification')
  eye = 9 * np.eye(10, dtype=np.float32)
  split = run.dataset.validation
  right = run.dataset._replace(
    validation=split._replace(x=eye[split.y].reshape(-1, 1, 1, 10))
  )
  spec = right.spec._replace(shape=(1, 1, 10))
  say = lambda x: {'scores': x.reshape(1, -1, 10)}
  heat, line = predict.temperature(say, right._replace(spec=spec))
  assert heat == 1.0 and line.startswith('temperature 1: all 144')


def test_values_are_in_units_of_the_target(said, opened, tmp_path):
  run = opened('regression')
  spec, (x, y) = run.dataset.spec, run.dataset.test
  np.save(tmp_path / 'x.npy', x.astype(np.float64))
  found = said('regression', tmp_path / 'x.npy')
  assert [*found] == ['names', 'values']
  expected = direct(run, 0, x)['value']
  np.testing.assert_allclose(found['values'], expected, atol=1e-6)
  rmse = np.sqrt(np.mean((found['values'] - y) ** 2))
  assert rmse == pytest.approx(summed_up(run)['rmse'], rel=1e-5)
  rows = said('regression', tmp_path / 'x.npy', 'csv')
  assert [*rows[0]] == ['name', *spec.target_names] == ['name', 'y']
  assert np.float32(rows[3]['y']) == found['values'][3, 0]


def test_a_table_with_words_in_any_order_of_columns(
  said, opened, folders, tmp_path
):
  run = opened('houses')
  assert run.dataset.spec.feature_names == (
    *('area', 'kind=flat', 'kind=villa'),
    'built=year',
  )
  source = folders('houses').parent / 'houses.csv'
  with source.open(newline='') as file:
    rows = list(csv.DictReader(file))
  order = ['note', 'built=year', 'kind', 'price', 'area']
  path = tmp_path / 'new.csv'
  with path.open('w', newline='') as file:
    writer = csv.DictWriter(file, order, restval='-', delimiter=';')
    writer.writeheader()
    writer.writerows(rows)
  found = said('houses', path)['values'][:, 0]
  # The test split by its targets, which are told apart by their last digits.
  spec, (_, y) = run.dataset.spec, run.dataset.test
  wanted = y[:, 0] * spec.y_std[0] + spec.y_mean[0]
  prices = np.array([float(row['price']) for row in rows])
  at = abs(prices[None] - wanted[:, None]).argmin(1)
  assert len(at) == len({*at}) == 12
  rmse = np.sqrt(np.mean((found[at] - prices[at]) ** 2))
  assert rmse == pytest.approx(summed_up(run)['rmse'], rel=1e-5)
  # One word alone, in a file without the target; and the rows as numbers.
  villas = [row for row in rows if row['kind'] == 'villa'][:2]
  lines = [f'{r["area"]},villa,{r["built=year"]}' for r in villas]
  path.write_text('\n'.join(['area,kind,built=year', *lines]))
  few = said('houses', path)['values'][:, 0]
  own = [float(r['price']) for r in villas]
  np.testing.assert_allclose(
    few, [found[prices.tolist().index(p)] for p in own], rtol=1e-6
  )
  raw = [[float(r['area']), 0, 1, float(r['built=year'])] for r in villas]
  np.savez(tmp_path / 'raw.npz', raw)
  other = said('houses', tmp_path / 'raw.npz')['values'][:, 0]
  np.testing.assert_allclose(other, few, rtol=1e-6)


def test_columns_whose_names_hold_a_sign_of_equality(tmp_path):
  path = tmp_path / 'x.csv'
  path.write_text('a=b,a,c\n1,x,p=q\n2,y,r\n')
  wanted = ('a=b', 'a=x', 'a=y', 'c=p=q', 'c=r')
  found = tables.encode(str(path), wanted)
  assert found.tolist() == [[1, 1, 0, 1, 0], [2, 0, 1, 0, 1]]
  source = tables.read('x', str(path), target='c', task='any')
  assert source.feature_names == wanted[:3]
  np.testing.assert_array_equal(source.train.x, found[:, :3])
  path.write_text('a,c\n1,r\n')
  with pytest.raises(errors.DataError, match=r"lacks the column.* 'a=b' of"):
    tables.encode(str(path), ('a', 'a=b'))


def test_codes_and_reconstructions(said, opened, tmp_path):
  run = opened('autoencoder')
  x = run.dataset.test.x[:30]
  path = saved(tmp_path, x)[0]
  expected = direct(run, 0, x / np.float32(255))
  found = said('autoencoder', path)
  assert found['codes'].shape == (30, 4)
  assert found['reconstructions'].shape == x.shape
  np.testing.assert_allclose(found['codes'], expected['code'], atol=1e-5)
  np.testing.assert_allclose(
    found['reconstructions'], expected['reconstruction'], atol=1e-5
  )
  rows = said('autoencoder', path, 'csv')
  assert [*rows[0]] == ['name', 'code_0', 'code_1', 'code_2', 'code_3']
  table = [[*row.values()][1:] for row in rows]
  np.testing.assert_array_equal(np.array(table, np.float32), found['codes'])


def test_an_average_of_reconstructions_and_of_values():
  values = RNG.normal(size=(3, 5, 2)).astype(np.float32)
  found = predict.predictions({'value': values}, 1.0)
  mean = sum(values.astype(float)) / 3
  np.testing.assert_allclose(found['values'], mean, atol=1e-6)
  spread = np.sqrt(sum((v - mean) ** 2 for v in values) / 2)
  np.testing.assert_allclose(found['values_std'], spread, atol=1e-6)
  pictures = {'code': values, 'reconstruction': values[..., None]}
  found = predict.predictions(pictures, 1.0)
  assert [*found] == ['reconstructions', 'reconstructions_std']


def test_embeddings(said, opened, tmp_path):
  run = opened('triplet')
  x = run.dataset.test.x[:20]
  path = saved(tmp_path, x)[3]
  rows = said('triplet', path, 'csv')
  assert [*rows[0]] == ['name', *(f'embedding_{i}' for i in range(8))]
  at = [int(row['name'].split('/')[1][:-4]) for row in rows]
  table = np.array([[*row.values()][1:] for row in rows], np.float32)
  expected = direct(run, 0, x[at] / np.float32(255))['embedding']
  np.testing.assert_allclose(table, expected, atol=1e-5)
  found = said('triplet', path)
  assert [*found] == ['names', 'embeddings']
  np.testing.assert_array_equal(found['embeddings'], table)


def test_images_are_resized_and_get_the_channels_of_training(
  said, opened, tmp_path
):
  run = opened('scenes')
  assert run.dataset.spec.shape == (6, 6, 3)
  given = RNG.integers(0, 256, (3, 11, 5), np.uint8)
  (tmp_path / 'odd').mkdir()
  for i, image in enumerate(given):
    Image.fromarray(image[: 11 - i]).save(tmp_path / 'odd' / f'{i}.png')
  found = said('scenes', tmp_path / 'odd')['probabilities']
  small = [
    Image.fromarray(image[: 11 - i]).resize((6, 6), Image.Resampling.BILINEAR)
    for i, image in enumerate(given)
  ]
  x = np.stack([np.stack([np.asarray(s)] * 3, -1) for s in small])
  scores = np.asarray(direct(run, 0, x / np.float32(255))['scores'])
  np.testing.assert_allclose(found, special.softmax(scores, -1), atol=1e-6)
  np.save(tmp_path / 'x.npy', given[:1])  # [N, H, W]
  again = said('scenes', tmp_path / 'x.npy')['probabilities']
  np.testing.assert_allclose(again, found[:1], atol=1e-6)


def test_the_images_of_a_folder(tmp_path):
  for name in ('b/2.png', 'b/deep/1.PNG', 'a.jpg', 'c.png/d.gif', 'b/.x.png'):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
  (tmp_path / 'a.txt').touch()
  (tmp_path / 'up').symlink_to(tmp_path)
  found = ['a.jpg', 'b/2.png', 'b/deep/1.PNG', 'c.png/d.gif']
  assert folder.files(str(tmp_path)) == found


def test_three_equal_channels_are_grey(said, opened, tmp_path):
  x = opened('classification').dataset.test.x[:4]
  np.save(tmp_path / 'a.npy', x)
  np.save(tmp_path / 'b.npy', np.repeat(x, 3, -1))
  a, b = (said('classification', tmp_path / f'{n}.npy') for n in 'ab')
  np.testing.assert_array_equal(a['probabilities'], b['probabilities'])
  with pytest.raises(errors.DataError, match='with 4'):
    images.fit_channels(x, ['x'], 4)


# What cannot work.


def refuse(opened, tmp_path, name, match, status=3, **options):
  run = opened(name)
  before = sorted(tmp_path.rglob('*'))
  chosen = {'output': str(tmp_path / 'said.csv'), **options}
  kind = run.settings.options.__class__
  run = run._replace(settings=run.settings._replace(options=kind(**chosen)))
  with pytest.raises(errors.Ended, match=match) as caught:
    predict.main(run)
  assert caught.value.status == status
  assert '\n' not in str(caught.value) and len(str(caught.value)) < 400
  assert sorted(tmp_path.rglob('*')) == before


def test_inputs_that_are_not_there(opened, tmp_path):
  ask = lambda match, status=3, **options: refuse(
    opened, tmp_path, 'classification', match, status, **options
  )
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'empty' / '.hidden.png').write_bytes(b'')
  (tmp_path / 'note.txt').write_text('a note')
  (tmp_path / 'note.png').write_text('a note')
  (tmp_path / 'note.npz').write_text('a note')
  (tmp_path / 'note.csv').write_text('a\n1\n')
  np.save(tmp_path / 'x.npy', np.zeros((1, 8, 8)))
  damaged = bytearray((tmp_path / 'x.npy').read_bytes())
  damaged[8] = 20  # the header ends within a bracket: a tokenize.TokenError
  (tmp_path / 'note.npy').write_bytes(damaged)
  ask('--input: not given', 2)
  ask('does not exist', input=str(tmp_path / 'nowhere'))
  ask('no images there', input=str(tmp_path / 'empty'))
  ask('expected a folder, an image', input=str(tmp_path / 'note.txt'))
  ask("1 unreadable image.*'note.png'", input=str(tmp_path / 'note.png'))
  ask('cannot be read as an npz', input=str(tmp_path / 'note.npz'))
  ask('cannot be read as an npy', input=str(tmp_path / 'note.npy'))
  ask(r'a table, but.*\[8, 8, 1\]', input=str(tmp_path / 'note.csv'))


@pytest.mark.parametrize('ending', ['csv', 'npz'])
def test_what_fails_half_way_leaves_what_was_there(
  opened, tmp_path, monkeypatch, ending
):
  monkeypatch.setattr(predict, 'CHUNK', 1)
  output = tmp_path / f'said.{ending}'
  output.write_text('before')
  for i, size in enumerate([8, 8, 9]):
    image = Image.fromarray(RNG.integers(0, 256, (size, 8), np.uint8))
    image.save(tmp_path / f'{i}.png')
  given = {'input': str(tmp_path), 'output': str(output)}
  refuse(opened, tmp_path, 'classification', "'2.png' is 8x9", **given)
  (tmp_path / '2.png').unlink()

  def full(*arguments):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(predict, f'write_{ending}', full)
  match = r'cannot be written \(No space left on device\); make room'
  refuse(opened, tmp_path, 'classification', match, 7, **given)
  assert output.read_text() == 'before'


def test_images_unlike_those_of_training(opened, tmp_path):
  np.save(tmp_path / 'x.npy', 0)

  def ask(match, array, name='classification'):
    np.save(tmp_path / 'x.npy', array)
    refuse(opened, tmp_path, name, match, input=str(tmp_path / 'x.npy'))

  u8 = lambda *shape: RNG.integers(0, 256, shape, np.uint8)
  ask('9x8; the run was trained on images of 8x8.*--resize=8', u8(2, 8, 9, 1))
  ask("'.*x.npy': image 0 is in colour", u8(2, 8, 8, 3))
  ask(r'has 2 channel\(s\).*images with 1', u8(2, 8, 8, 2))
  ask(r'holds uint8\[8, 8\]; expected images', u8(8, 8))
  ask('at least one example', u8(0, 8, 8))
  ask(r'values -1..1 .*floats in \[0, 1\]', np.float64([np.eye(8), -np.eye(8)]))
  ask('values nan..nan', np.full((1, 8, 8), np.nan))
  ask('int64; expected uint8', np.zeros((1, 8, 8), int))
  ask('cannot be read as an npy file', np.array([{}]))
  (tmp_path / 'x.npy').unlink()
  Image.fromarray(u8(8, 8)).save(tmp_path / 'a.png')
  Image.fromarray(u8(9, 8)).save(tmp_path / 'b.png')
  given = {'input': str(tmp_path)}
  ask = lambda match: refuse(opened, tmp_path, 'classification', match, **given)
  ask("image 'b.png' is 8x9; the run was trained on images of 8x8")
  Image.fromarray(u8(8, 8, 3)).save(tmp_path / 'b.png')
  ask("image 'b.png' is in colour; .* grey")
  refuse(opened, tmp_path, 'regression', r'trained on rows of 1.*x', **given)


def test_which_array_of_an_archive(opened, tmp_path):
  path = tmp_path / 'x.npz'
  np.savez(path, a=np.zeros(3), b=np.zeros(3))
  ask = lambda match: refuse(
    opened, tmp_path, 'classification', match, input=str(path)
  )
  ask("has the arrays 'a', 'b'; call the one to read x")


def test_rows_unlike_those_of_training(opened, tmp_path):
  path = tmp_path / 'x.npy'

  def ask(match, array):
    np.save(path, array)
    refuse(opened, tmp_path, 'houses', match, input=str(path))

  rows = np.zeros((4, 4))
  ask(
    r'float64\[4, 3\].*rows of 4 number\(s\): .area., .kind=flat', rows[:, 1:]
  )
  ask(r'complex128\[4, 4\]', rows + 0j)
  for bad in (np.nan, -np.inf, 1e300):
    rows[2, 1] = bad
    ask('row 2 holds a number that is not finite', rows)


@pytest.mark.parametrize(
  'text, match',
  [
    ('area,kind\n1,flat\n', r"lacks the column\(s\) 'built' of training"),
    ('area,Kind,built=year\n1,a,2\n', "lacks.*'kind'.*is 'Kind' meant"),
    (
      'area,kind,built=year\n1,flat,2\n1,tent,2\n',
      "is 'tent' in line 3; .*'fl",
    ),
    (
      'area,kind,built=year\n1,flat,2\nbig,flat,2\n',
      "'area' is 'big' in line 3",
    ),
    ('area,kind,built=year\nnan,flat,2\n', "'area' has no value in line 2"),
    ('area,kind,built=year\n1,flat,inf\n', "'built=year' is inf in line 2"),
    ('area,kind,built=year\n1,flat\n', 'line 2 has 2 values'),
    ('area,kind,built=year\n', 'no rows'),
  ],
)
def test_tables_unlike_those_of_training(opened, tmp_path, text, match):
  (tmp_path / 'x.csv').write_text(text)
  refuse(opened, tmp_path, 'houses', match, input=str(tmp_path / 'x.csv'))


def test_outputs_and_options_that_cannot_work(opened, tmp_path):
  np.save(tmp_path / 'x.npy', np.zeros((1, 8, 8)))
  np.savez(tmp_path / 'y.npz', np.zeros((1, 8, 8)))

  def ask(match, name='classification', file='x.npy', **options):
    options = {'input': str(tmp_path / file), **options}
    refuse(opened, tmp_path, name, match, 2, **options)

  ask('--output: not given', output='')
  ask('expected a .csv or .npz file', output=str(tmp_path / 'x.txt'))
  ask('is a folder', output=str(tmp_path))
  ask('folder does not exist', output=str(tmp_path / 'no' / 'x.csv'))
  ask('folder does not exist', output=str(tmp_path / 'x.npy' / 'x.csv'))
  ask(r'cannot be written \(', output='/proc/x.csv')
  ask('cannot be written', output=str(tmp_path / f'{"x" * 300}.csv'))
  ask('is the --input', file='y.npz', output=str(tmp_path / 'y.npz'))
  ask('--calibrate: a run of triplet', 'triplet', calibrate=True)
  ask('--ensemble: there is one seed', 'triplet', ensemble=True)


def test_codes_and_embeddings_have_no_average(opened, tmp_path):
  for name, match in {
    'triplet': 'embeddings of different seeds',
    'autoencoder': 'codes of different seeds have no average; give a .npz',
  }.items():
    run = opened(name)
    two = lambda wanted, run=run: run._replace(best=[0, 0])
    refuse(two, tmp_path, name, match, 2, ensemble=True, input=str(tmp_path))


def test_an_experiment_that_says_nothing(opened, tmp_path):
  run = opened('classification')
  silent = run.experiment(0)._replace(outputs=lambda params, x: {})

  class Mute:
    TASK = 'classification'
    experiment = staticmethod(lambda config, spec: silent)

  mute = run._replace(settings=run.settings._replace(module=Mute))
  refuse(lambda name: mute, tmp_path, '', 'set Experiment.outputs', 2)


def test_by_the_front_door(usage, folders, tmp_path):
  run = f'--workdir={folders("classification")}'
  assert '--workdir=DIR' in usage('--mode=predict')
  assert 'no run there' in usage('--mode=predict', '--workdir=nowhere')
  assert '--input: not' in usage('--mode=predict', run, '--output=x.csv')
  line = usage('--mode=predict', run, '--input=x', '--output=x.csv', status=3)
  assert '--input=x: does not exist' in line
