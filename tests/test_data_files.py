"""Folders of images, npz archives and csv tables."""

import os
import pathlib
import zipfile

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from dlcore import data
from dlcore.data import images, npz

SCENES = (
  pathlib.Path(__file__).parents[1] / '../shared/data/scene15/scene15_64.npz'
)
RNG = np.random.default_rng(3)


def save(path, array, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(np.asarray(array, np.uint8)).save(path, **options)


def noise(*shape):
  return RNG.integers(0, 256, shape, np.uint8)


def make(root, classes=('a', 'b'), count=5, shape=(6, 7)):
  written = {}
  for name in classes:
    for i in range(count):
      written[name, i] = noise(*shape)
      save(root / name / f'{i}.png', written[name, i])
  return written


def fails(match, name, **options):
  with pytest.raises(data.DataError, match=match) as caught:
    data.load(name, **options)
  message = str(caught.value)
  assert '\n' not in message and len(message) < 300, message


def everything(dataset):
  return (
    np.concatenate([p.x for p in dataset[1:]]),
    np.concatenate([p.y for p in dataset[1:]]),
  )


# Folders.


def test_folder(tmp_path):
  written = make(tmp_path, ('zebra', 'ant'))
  dataset = data.load(f'folder:{tmp_path}')
  assert dataset.spec.class_names == ('ant', 'zebra')
  assert dataset.spec.shape == (6, 7, 1)
  assert dataset.spec.examples == {'train': 6, 'validation': 2, 'test': 2}
  x, y = everything(dataset)
  got = {(label, row.tobytes()) for row, label in zip(x, y, strict=True)}
  assert got == {
    (int(name == 'zebra'), row.tobytes()) for (name, _), row in written.items()
  }


def test_folder_with_a_test_split(tmp_path):
  make(tmp_path / 'train', count=10)
  written = make(tmp_path / 'test', ('b', 'c'), count=1)
  make(tmp_path / 'val')
  dataset = data.load(f'folder:{tmp_path}')
  assert dataset.spec.class_names == ('a', 'b', 'c')
  assert dataset.spec.examples == {'train': 18, 'validation': 2, 'test': 2}
  for row, label in zip(dataset.test.x, dataset.test.y, strict=True):
    np.testing.assert_array_equal(row[..., 0], written['abc'[label], 0])
  assert 'val' in dataset.spec.notes[0]


def test_folder_called_train_may_be_a_class(tmp_path):
  make(tmp_path, ('plane', 'train'))
  assert data.load(f'folder:{tmp_path}').spec.class_names == ('plane', 'train')


def test_folder_colour_and_grey_mix_to_three_channels(tmp_path):
  make(tmp_path, ('a',))
  make(tmp_path, ('b',), shape=(6, 7, 3))
  dataset = data.load(f'folder:{tmp_path}')
  assert dataset.spec.shape == (6, 7, 3)
  x, y = everything(dataset)
  assert (np.ptp(x[y == 0], axis=-1) == 0).all()


def read(path):
  return images.read('t', [('x', str(path))], resize=0)[0]


def test_modes(tmp_path):
  file = tmp_path / 'x.png'
  grey = np.array([[0, 128, 255]])
  save(file, grey)
  assert read(file)[..., 0].tolist() == grey.tolist()
  Image.fromarray(np.array([[0, 257, 65535]], np.uint16)).save(file)
  assert read(file)[..., 0].tolist() == [[0, 1, 255]]
  Image.fromarray(np.array([[0, 255]], np.uint8)).convert('1').save(file)
  assert read(file)[..., 0].tolist() == [[0, 255]]
  save(file, [[[10, 20, 30, 255], [10, 20, 30, 0]]])
  assert read(file).tolist() == [[[10, 20, 30], [255, 255, 255]]]
  palette = Image.fromarray(np.array([[0, 1]], np.uint8), 'L').convert('P')
  palette.putpalette([9, 8, 7, 1, 2, 3])
  palette.save(file)
  assert read(file).tolist() == [[[9, 8, 7], [1, 2, 3]]]
  palette.save(file, transparency=1)
  assert read(file).tolist() == [[[9, 8, 7], [255, 255, 255]]]
  file = tmp_path / 'x.jpg'
  Image.new('CMYK', (8, 8), (0, 255, 255, 0)).save(file)
  red = read(file)[4, 4].astype(int)
  assert red[0] > 200 and red[1] < 60 and red[2] < 60


def test_orientation_is_obeyed_and_the_first_frame_stands(tmp_path):
  file = tmp_path / 'x.png'
  exif = Image.Exif()
  exif[0x0112] = 6  # turned a quarter clockwise
  Image.fromarray(np.array([[1, 2, 3]], np.uint8)).save(file, exif=exif)
  assert read(file)[..., 0].tolist() == [[1], [2], [3]]
  frames = [Image.new('L', (2, 2), v) for v in (10, 200)]
  file = tmp_path / 'x.gif'
  frames[0].save(file, save_all=True, append_images=frames[1:])
  assert np.unique(read(file)).tolist() == [10]


@pytest.mark.parametrize(
  'ending', ['.jpg', '.JPEG', '.bmp', '.gif', '.webp', '.ppm', '.pgm']
)
def test_formats(tmp_path, ending):
  for name in 'ab':
    for i in range(3):
      path = tmp_path / name / f'{i}{ending}'
      save(path, np.full((8, 8), 40 * i + 7))
  x, y = everything(data.load(f'folder:{tmp_path}'))
  means = [sorted(x[y == c].mean((1, 2, 3))) for c in (0, 1)]
  np.testing.assert_allclose(means, [[7, 47, 87]] * 2, atol=3)


def test_folder_sizes(tmp_path):
  make(tmp_path, ('a',))
  make(tmp_path, ('b',), shape=(9, 3))
  fails('7x6.*3x9.*--resize=64', f'folder:{tmp_path}')
  dataset = data.load(f'folder:{tmp_path}', resize=4)
  assert dataset.spec.shape == (4, 4, 1)


def test_folder_refuses(tmp_path):
  fails('does not exist', f'folder:{tmp_path}/none')
  fails('no path', 'folder:')
  fails('null', 'folder:a\0b')
  fails('no images', f'folder:{tmp_path}')
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'stray.png').write_bytes(b'')
  fails('no images', f'folder:{tmp_path}')
  fails('not a folder', f'folder:{tmp_path}/stray.png')
  make(tmp_path, ('only',))
  fails("one class only, 'only'", f'folder:{tmp_path}')


def test_folder_names_unreadable_files(tmp_path):
  make(tmp_path)
  whole = (tmp_path / 'a/0.png').read_bytes()
  (tmp_path / 'a/cut.png').write_bytes(whole[:50])
  (tmp_path / 'a/empty.jpg').write_bytes(b'')
  (tmp_path / 'b/text.gif').write_text('no image')
  os.symlink('nowhere.png', tmp_path / 'b/broken.png')
  os.symlink('loop.png', tmp_path / 'b/loop.png')
  fails('5 unreadable.*a/cut.png.*and 2 more', f'folder:{tmp_path}')


def test_folder_pixel_cap(tmp_path, monkeypatch):
  make(tmp_path)
  monkeypatch.setattr(images, 'MAX_PIXELS', 41)
  fails('a/0.png.*million pixels', f'folder:{tmp_path}')
  monkeypatch.setattr(images, 'MAX_PIXELS', 42)
  data.load(f'folder:{tmp_path}')
  # What Pillow warns of, and what it refuses by itself.
  for cap in (41, 20):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', cap)
    fails('million pixels', f'folder:{tmp_path}')


def test_folder_links_do_not_loop(tmp_path):
  make(tmp_path)
  os.symlink(tmp_path, tmp_path / 'up')
  os.symlink('..', tmp_path / 'a' / 'again')
  os.symlink('self', tmp_path / 'self')
  dataset = data.load(f'folder:{tmp_path}')
  assert dataset.spec.class_names == ('a', 'b')
  assert sum(dataset.spec.examples.values()) == 10


def test_folder_odd_names(tmp_path):
  odd = ['-' * 200, 'new\nline', 'größe 🦓', os.fsdecode(b'\xff\xfe')]
  make(tmp_path, odd, count=3)
  dataset = data.load(f'folder:{tmp_path}')
  assert 'new?line' in dataset.spec.class_names
  '\n'.join(dataset.spec.class_names).encode()  # can be printed
  (tmp_path / odd[3] / (odd[3] + '\n.png')).write_bytes(b'')
  with pytest.raises(data.DataError, match='1 unreadable') as caught:
    data.load(f'folder:{tmp_path}')
  str(caught.value).encode()


def test_png_text_bomb_is_refused_not_expanded(tmp_path):
  make(tmp_path)
  info = PngImagePlugin.PngInfo()
  info.add_text('x', ' ' * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
  save(tmp_path / 'a/bomb.png', noise(6, 7), pnginfo=info)
  fails('1 unreadable.*bomb', f'folder:{tmp_path}')


# Archives.


def arrays(**changes):
  values = {
    'train_images': noise(12, 4, 5),
    'train_labels': np.arange(12) % 3,
    'test_images': noise(4, 4, 5),
    'test_labels': np.arange(4) % 3,
    **changes,
  }
  return {k: v for k, v in values.items() if v is not None}


def archive(tmp_path, **changes):
  file = tmp_path / 'x.npz'
  np.savez(file, **arrays(**changes))
  return f'npz:{file}'


def test_npz(tmp_path):
  given = arrays(class_names=np.array(['a', 'b', 'c']))
  np.savez(tmp_path / 'x.npz', **given, extra=np.zeros(3))
  dataset = data.load(f'npz:{tmp_path}/x.npz')
  assert dataset.spec.class_names == ('a', 'b', 'c')
  assert dataset.spec.examples == {'train': 9, 'validation': 3, 'test': 4}
  label = {
    x.tobytes(): y
    for s in ('train', 'test')
    for x, y in zip(given[f'{s}_images'], given[f'{s}_labels'], strict=True)
  }
  for part in dataset[1:]:
    assert [label[x.tobytes()] for x in part.x] == part.y.tolist()


def test_npz_floats_become_bytes(tmp_path):
  x = np.linspace(0, 1, 12 * 4 * 5 * 2).reshape(12, 4, 5, 2)
  name = archive(
    tmp_path, train_images=x, test_images=np.ones((4, 4, 5, 2), np.float16)
  )
  dataset = data.load(name)
  assert dataset.train.x.dtype == np.uint8
  assert dataset.test.x.min() == 255
  assert dataset.spec.notes == ('floats in [0, 1] rounded to uint8',)
  assert data.load(name, resize=2).spec.shape == (2, 2, 2)


@pytest.mark.parametrize(
  'changes, match',
  [
    ({'test_labels': None, 'test_images': None}, "'test_images', 'test_lab"),
    ({'train_labels': np.arange(11)}, '12 train_images but 11'),
    ({'train_images': noise(12, 5, 5)}, r'\(5, 5, 1\).*\(4, 5, 1\)'),
    ({'train_images': noise(12, 5)}, r'train_images is \[12, 5\]'),
    ({'train_images': noise(12, 0, 5)}, 'expected'),
    ({'train_images': np.zeros((12, 4, 5), int)}, 'int64'),
    ({'train_images': np.full((12, 4, 5), 1.5)}, r'floats in \[0, 1\]'),
    ({'train_images': np.full((12, 4, 5), np.nan)}, r'floats in \[0, 1\]'),
    ({'train_labels': np.arange(12) - 1}, 'label -1'),
    ({'train_labels': np.arange(12) * 1000}, 'label 11000'),
    ({'train_labels': np.arange(12) / 2}, 'float64'),
    ({'train_labels': np.zeros((12, 1), int)}, r'int64\[12, 1\]'),
    ({'class_names': np.array(['a'])}, 'at least 3 strings'),
    ({'class_names': np.arange(3)}, 'at least 3 strings'),
    ({'train_labels': np.array([{}] * 12)}, 'plain arrays'),
    ({'train_labels': np.zeros(12, int)}, '1 class'),
  ],
)
def test_npz_refuses(tmp_path, changes, match):
  fails(match, archive(tmp_path, **changes))


def test_npz_refuses_what_is_no_archive(tmp_path):
  file = tmp_path / 'x.npz'
  fails('does not exist', f'npz:{file}')
  file.write_bytes(b'')
  fails('cannot be read', f'npz:{file}')
  file.write_text('not an archive')
  fails('cannot be read', f'npz:{file}')
  with open(file, 'wb') as stream:
    np.save(stream, np.zeros(3))
  fails('not an archive', f'npz:{file}')
  archive(tmp_path)
  whole = file.read_bytes()
  file.write_bytes(whole[: len(whole) // 2])
  fails('cannot be read', f'npz:{file}')
  damaged = bytearray(whole)
  damaged[300] ^= 255
  file.write_bytes(damaged)
  fails('cannot be read', f'npz:{file}')
  with zipfile.ZipFile(file, 'w') as target:
    for array in npz.ARRAYS:
      target.writestr(f'{array}.npy', 'no header')
  fails('cannot be read', f'npz:{file}')


def test_the_fifteen_scenes():
  if not SCENES.exists():
    pytest.skip('scene15_64.npz is not beside this checkout')
  dataset = data.load(f'npz:{SCENES}')
  assert dataset.spec.shape == (64, 64, 1) and dataset.spec.classes == 15
  assert dataset.spec.class_counts == (90,) * 15
  assert dataset.spec.examples['test'] == 2985
  assert 'suburb' in dataset.spec.class_names


# Tables.


def table(tmp_path, text, mode='w', **options):
  file = tmp_path / 'x.csv'
  file.write_bytes(text if isinstance(text, bytes) else text.encode())
  return f'csv:{file}'


PETS = 'weight,kind,noise\n' + ''.join(
  f'{i},{"cat" if i % 2 else "dog"},{"meow" if i % 2 else "woof"}\n'
  for i in range(20)
)


def test_csv_classification(tmp_path):
  dataset = data.load(table(tmp_path, PETS), target='kind')
  spec = dataset.spec
  assert spec.task == 'classification'
  assert spec.class_names == ('cat', 'dog')
  assert spec.feature_names == ('weight', 'noise=meow', 'noise=woof')
  assert spec.target_names == ()
  x, y = everything(dataset)
  x = x * spec.x_std + spec.x_mean
  order = np.argsort(x[:, 0])
  np.testing.assert_allclose(x[order, 0], np.arange(20), atol=1e-5)
  assert y[order].tolist() == [1, 0] * 10
  np.testing.assert_allclose(x[order, 1], [0, 1] * 10, atol=1e-6)
  np.testing.assert_allclose(dataset.train.x.mean(0), 0, atol=1e-6)


def test_csv_regression(tmp_path):
  name = table(tmp_path, PETS)
  dataset = data.load(name, target='weight')
  assert dataset.spec.task == 'regression'
  assert dataset.spec.target_names == ('weight',)
  assert dataset.spec.classes == 0
  _, y = everything(dataset)
  y = y * dataset.spec.y_std + dataset.spec.y_mean
  np.testing.assert_allclose(np.sort(y[:, 0]), np.arange(20), atol=1e-5)


def test_csv_task_decides_for_numbers(tmp_path):
  text = 'a,b\n' + ''.join(f'{i},{i % 3 * 10}\n' for i in range(30))
  name = table(tmp_path, text)
  assert data.load(name, target='b').spec.class_names == ('0', '10', '20')
  wanted = data.load(name, target='b', task='regression')
  assert wanted.spec.task == 'regression'
  fails('too small', name, target='a', task='classification')


def test_csv_dialects(tmp_path):
  text = '\ufeff"a";b\r\n' + ''.join(f'{i}; {i % 2}\r\n\r\n' for i in range(9))
  spec = data.load(table(tmp_path, text), target='b').spec
  assert spec.feature_names == ('a',) and sum(spec.examples.values()) == 9
  text = text.replace(';', '\t')
  assert data.load(table(tmp_path, text), target='b').spec == spec


@pytest.mark.parametrize(
  'text, match',
  [
    ('a,b\n1,2\n,3\n', "'a' has no value in line 3"),
    ('a,b\n1,2\n2,NA\n', "'b' has no value in line 3"),
    ('a,b\n1,2\ninf,3\n', "'a' is inf in line 3"),
    ('a,b\n1,2\n1e39,3\n', "'a' is 1e\\+39 in line 3"),
    ('a,b\n1,2\n1,2,3\n', 'line 3 has 3 values, the header 2'),
    ('a,b,a\n1,2,3\n', "several columns called 'a'"),
    ('a,b\n', 'no rows'),
    ('', 'no rows'),
    ('b\n1\n2\n', 'at least one feature'),
    ('c,d\n1,2\n', "no column 'b'.*'c', 'd'"),
    ('a,b\n' + ''.join(f'w{i},{i}\n' for i in range(21)), '21 different'),
    (b'a,b\n\xff,1\n', 'UTF-8'),
    ('a,b\n"' + 'x' * 200_000 + '",1\n', 'cannot be read'),
    ('a,b\n1,2\n2,2\n3,2\n', '1 class'),
  ],
)
def test_csv_refuses(tmp_path, text, match):
  fails(match, table(tmp_path, text), target='b')


def test_csv_target(tmp_path):
  name = table(tmp_path, PETS)
  fails("--target=COLUMN.*'weight', 'kind', 'noise'", name)
  fails("did you mean 'weight'", name, target='wieght')
  fails("such as 'dog'", name, target='kind', task='regression')
  fails('for csv:PATH', 'digits', target='kind')
  fails('does not exist', 'csv:/nowhere.csv', target='a')
