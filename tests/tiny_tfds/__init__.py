"""TFDS sets of a few examples, which `load` prepares in a temporary folder."""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

PIXELS = np.random.default_rng(7).integers(0, 256, (12, 5, 4), np.uint8)


def png(array):
  stream = io.BytesIO()
  Image.fromarray(array).save(stream, 'PNG')
  stream.seek(0)
  return stream


class TinyImages(tfds.core.GeneratorBasedBuilder):
  """Grey pictures stored with three channels; the label is i % 3."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self):
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Image(shape=(5, 4, 3)),
          'label': tfds.features.ClassLabel(names=['a', 'b', 'c']),
        }
      ),
      supervised_keys=('image', 'label'),
    )

  def _split_generators(self, dl_manager):
    return {
      'train': self._generate_examples(12),
      'test': self._generate_examples(6),
    }

  def _generate_examples(self, n):
    for i in range(n):
      rgb = np.repeat(PIXELS[i][..., None], 3, -1)
      yield i, {'image': png(rgb), 'label': i % 3}


class TinySizes(TinyImages):
  """Pictures of two sizes, and a training split only."""

  def _info(self):
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Image(shape=(None, None, 3)),
          'label': tfds.features.ClassLabel(num_classes=2),
        }
      )
    )

  def _split_generators(self, dl_manager):
    return {'train': self._generate_examples(20)}

  def _generate_examples(self, n):
    for i in range(n):
      yield (
        i,
        {
          'image': png(np.full((6 + i % 2, 6, 3), (i, 0, 9), np.uint8)),
          'label': i % 2,
        },
      )


class TinyTensor(TinyImages):
  """Pictures stored as plain arrays."""

  def _info(self):
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Tensor(shape=(5, 4), dtype=np.uint8),
          'label': tfds.features.ClassLabel(num_classes=3),
        }
      )
    )

  def _generate_examples(self, n):
    for i in range(n):
      yield i, {'image': PIXELS[i], 'label': i % 3}


class TinyText(TinyImages):
  """Nothing to learn from."""

  def _info(self):
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict({'text': tfds.features.Text()})
    )


class TinyBroken(TinyImages):
  """Fails half-way through being written."""

  def _generate_examples(self, n):
    yield 0, {'image': png(PIXELS[0]), 'label': 0}
    raise OSError('the disk\nis full')


class TinyNeedy(TinyImages):
  """Needs a package that is not there to be written."""

  def _split_generators(self, dl_manager):
    import a_package_that_is_not_there  # noqa: F401


class TinyImagenet(TinyImages):
  """Photographs of all sizes, as imagenet2012 has them; it tests in secret."""

  VERSION = tfds.core.Version('5.1.0')

  def _info(self):
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Image(encoding_format='jpeg'),
          'label': tfds.features.ClassLabel(num_classes=1000),
          'file_name': tfds.features.Text(),
        }
      ),
      supervised_keys=('image', 'label'),
    )

  def _split_generators(self, dl_manager):
    return {
      'train': self._generate_examples(24, 0),
      'validation': self._generate_examples(9, 0),
      'test': self._generate_examples(3, None),
    }

  def _generate_examples(self, n, first):
    for i in range(n):
      stream = io.BytesIO()
      size = 30 + 7 * (i % 5), 28 + 5 * (i % 4)
      Image.new('RGB', size, (9 * i, 90, 200)).save(stream, 'JPEG')
      stream.seek(0)
      label = -1 if first is None else i % 3
      yield (
        i,
        {'image': stream, 'label': label, 'file_name': f'n0_{i}.JPEG'},
      )
