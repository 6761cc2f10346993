"""The summary: its table, receptive fields by gradients, costs by hand."""

import re

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlcore import layers, models, ops, summary

POSITIVE = jax.nn.initializers.constant(1.0)


def conv(size, **options):
  return layers.conv(2, size, kernel_init=POSITIVE, **options)


def transposed(size, **options):
  return layers.conv_transpose(2, size, kernel_init=POSITIVE, **options)


def first_and_last(field, axis, unit):
  """The pixels that a unit sees, by what is said of `Field`."""
  if field.phases:
    turn, place = divmod(unit, len(field.phases[axis]))
    return [turn * field.stride[axis] + p for p in field.phases[axis][place]]
  first = field.start[axis] + unit * field.stride[axis]
  return [first, first + field.size[axis] - 1]


SPATIAL = {
  'conv pool stride 1': layers.serial(
    conv(4), layers.average_pool(3, stride=1)
  ),
  'strides': layers.serial(conv(3, stride=2), conv(3), conv(2, stride=2)),
  'same': layers.serial(
    conv(3, padding='SAME'), layers.l2_pool(2), conv(4, padding='SAME')
  ),
  'padding': layers.serial(
    conv(3, padding=1, stride=2), layers.average_pool(3, stride=2, padding=1)
  ),
  'dilation': layers.serial(conv(3, dilation=2), conv(2, dilation=3)),
  'unequal': layers.serial(
    conv((1, 5)), conv((3, 2), stride=(2, 1)), layers.crop((4, 4))
  ),
  'residual': layers.serial(
    conv(3),
    layers.residual(
      layers.serial(conv(3, padding=1), conv(3, padding=1)),
      conv(1),
    ),
    conv(2),
  ),
  'parallel': layers.serial(
    layers.parallel(conv(1), conv(5, padding='SAME')), conv(2, stride=2)
  ),
  'depthwise': layers.serial(
    layers.depthwise_conv(3, kernel_init=POSITIVE), layers.softplus()
  ),
  'local': layers.locally_connected(1, 3, stride=2, kernel_init=POSITIVE),
  'cast': layers.serial(conv(2), layers.cast(conv(3), jnp.bfloat16), conv(2)),
  'local divisor': layers.local_contrast_norm(size=5, divisor='local'),
  'upsample': layers.upsample(3),
  'bilinear': layers.upsample(2, method='bilinear'),
  'bilinear, odd': layers.upsample(3, method='bilinear'),
  'upsample conv': layers.serial(
    conv(2, stride=2), layers.upsample(2), conv(3), conv(2)
  ),
  'upsample pool': layers.serial(layers.upsample(2), layers.average_pool(2)),
  'upsample stride 3': layers.serial(layers.upsample(2), conv(2, stride=3)),
  'upsample twice': layers.serial(
    layers.upsample(2), conv(4, stride=3), layers.upsample(3), conv(2)
  ),
  'transposed': transposed(3, stride=2),
  'transposed valid': layers.serial(
    conv(3, stride=2), transposed((5, 2), stride=(3, 1), padding='VALID')
  ),
  'transposed conv': layers.serial(transposed(4, stride=2), conv(3)),
}


@pytest.mark.parametrize('name', SPATIAL)
def test_the_field_is_where_the_gradient_of_a_unit_is_not_0(name):
  net, shape = SPATIAL[name], (16, 15, 1)
  row = summary.rows(net, shape)[-1]
  assert row.shape == layers.abstract(net, shape)[1]
  params, _ = net.init(jax.random.key(0), shape)
  gradient = jax.jit(
    jax.grad(lambda x, u, v: net.apply(params, x)[u, v, 0], argnums=0)
  )
  x = 1 + jax.random.uniform(jax.random.key(1), shape)
  h, w = row.shape[:2]
  most = [0, 0]
  middle = ((min(h // 2 + i, h - 1), max(w - 1 - i, 0)) for i in range(6))
  for unit in [(0, 0), *middle]:
    seen = np.asarray(gradient(x, *unit))[..., 0] != 0
    for axis in (0, 1):
      pixels = np.flatnonzero(seen.any(1 - axis))
      first, last = first_and_last(row.field, axis, unit[axis])
      assert pixels[0] == max(first, 0)
      assert pixels[-1] == min(last, shape[axis] - 1)
      most[axis] = max(most[axis], last - first + 1)
  assert tuple(most) == row.field.size


@pytest.mark.parametrize(
  'net',
  [
    layers.local_contrast_norm(size=3),
    layers.group_norm(groups=1),
    layers.instance_norm(),
  ],
  ids=lambda net: net.name,
)
def test_the_table_says_that_statistics_of_the_image_do_not_count(net):
  shape = (9, 8, 2)
  params, _ = net.init(jax.random.key(0), shape)
  x = jax.random.normal(jax.random.key(1), shape)
  gradient = jax.jit(jax.grad(lambda x: net.apply(params, x)[4, 4, 0]))
  reached = (np.asarray(gradient(x)) != 0).any(-1)
  (row,) = summary.rows(net, shape)
  table = summary.table(layers.serial(layers.conv(2, 1), net), shape)
  assert reached.mean() > 0.9 and max(row.field.size) < 8
  assert summary.STATISTICS in table.split('\ntotal')[1]
  assert all(len(line) <= 88 for line in summary.STATISTICS.split('\n'))


def test_convolution_then_pooling_sees_p_plus_k_minus_1():
  for k, p in [(3, 2), (5, 4), (7, 1)]:
    net = layers.serial(layers.conv(1, k), layers.max_pool(p, stride=1))
    assert summary.rows(net, (20, 20, 1))[-1].field.size == (p + k - 1,) * 2


def test_a_dense_layer_sees_everything_and_what_follows_does_too():
  net = layers.serial(
    layers.conv(2, 3),
    layers.flatten(),
    layers.dense(16),
    layers.reshape((4, 4, 1)),
    layers.conv(1, 3),
  )
  fields = [row.field for row in summary.rows(net, (8, 6, 1))]
  assert fields[0] == summary.Field((3, 3), (1, 1), (0, 0))
  assert fields[1:] == [summary.Field((8, 6), (0, 0), (0, 0))] * 4


def test_what_may_see_everything_is_said_to():
  whitening = ops.whiten.zca(np.eye(12, dtype=np.float32))
  scaling = ops.whiten.standardize(np.eye(12, dtype=np.float32))
  linen = layers.from_linen(flax.linen.Conv(1, (3, 3)))
  for layer, size in [
    (layers.whiten(whitening), (4, 3)),
    (layers.whiten(scaling), (1, 1)),
    (linen, (4, 3)),
  ]:
    (row,) = summary.rows(layer, (4, 3, 1))
    assert row.shape == (4, 3, 1) and row.field.size == size


def test_an_example_without_space_has_no_fields():
  rows = summary.rows(models.mlp((4,), 2), (3,))
  assert [row.field for row in rows] == [None] * 5


# Costs, counted by hand.


def scanned(params, x, key=None):
  return jax.lax.scan(lambda h, _: (h @ jnp.eye(4), None), x, length=7)[0]


@pytest.mark.parametrize(
  'layer, shape, cost',
  [
    (layers.dense(5), (7,), 7 * 5),
    (layers.maxout(5, pieces=3), (7,), 7 * 15),
    (layers.conv(6, 3), (8, 9, 4), 6 * 7 * 3 * 3 * 4 * 6),
    (layers.conv(6, 3, stride=2), (9, 9, 4), 4 * 4 * 3 * 3 * 4 * 6),
    (layers.conv(6, 3, groups=2), (8, 9, 4), 6 * 7 * 3 * 3 * 2 * 6),
    (layers.depthwise_conv(3), (8, 9, 4), 6 * 7 * 3 * 3 * 4),
    (layers.conv1d(6, 3), (10, 4), 8 * 3 * 4 * 6),
    (layers.locally_connected(5, 2), (4, 4, 3), 3 * 3 * 2 * 2 * 3 * 5),
    (layers.max_pool(2), (4, 4, 1), 0),
    (
      layers.Layer(lambda key, shape: ({}, shape), scanned),
      (4,),
      7 * 4 * 4,
    ),
  ],
)
def test_multiply_adds(layer, shape, cost):
  (row,) = summary.rows(layer, shape)
  assert row.multiply_adds == cost


def test_shared_parameters_count_once_and_their_cost_twice():
  net = models.siamese(layers.dense(3))
  first, second = summary.rows(net, (2, 5))
  assert first.path == second.path == 'trunk'
  assert (first.parameters, second.parameters) == (18, 0)
  assert first.multiply_adds == second.multiply_adds == 15


def test_integer_examples():
  net = layers.serial(layers.embedding(9, 4), layers.flatten(), layers.dense(2))
  rows = summary.rows(net, (3,), dtype=jnp.int32)
  assert [row.shape for row in rows] == [(3, 4), (12,), (2,)]
  assert [row.parameters for row in rows] == [36, 0, 26]


def test_nothing_is_allocated():
  before = sum(a.nbytes for a in jax.live_arrays())
  summary.table(models.vgg16(), (224, 224, 3))
  assert sum(a.nbytes for a in jax.live_arrays()) - before < 2**20


TABLE = """\
layer       kind        output  parameters  multiply-adds  receptive field
--------------------------------------------------------------------------
input                  28x28x1
0_conv      conv      26x26x32         320        194,688              3x3
1_max_pool  max_pool  13x13x32           0              0              4x4
2_flatten   flatten       5408           0              0            28x28
3_dense     dense           10      54,090         54,080            28x28
--------------------------------------------------------------------------
total                               54,410        248,768"""


def test_the_table_of_alexnet_notes_what_the_paper_got_wrong():
  net = models.alexnet()
  right = summary.table(net, (227, 227, 3))
  paper = summary.table(net, (224, 224, 3))
  # The numbers that the notes speak of are those of the rows.
  units = lambda n: summary.rows(net, (n, n, 3))[0].shape
  assert units(227) == (55, 55, 96) and units(224) == (54, 54, 96)
  for text in (right, paper):
    assert '253,440' in text and '55 x 55 x 96 = 290,400' in text
  assert 'need 227 x 227' in paper and 'gives 54 x 54' in paper
  assert '54' not in right
  notes = right.split('\ntotal')[1]
  assert 'slip' in notes and all(len(line) <= 88 for line in notes.split('\n'))


@pytest.mark.parametrize('name', models.NETWORKS)
def test_a_network_is_shown_as_published(name, command):
  answer = command('--mode=summary', f'--network={name}')
  assert answer.status == 0, answer.err
  shape, outputs = models.PUBLISHED[name]
  head, *rows = answer.out.split('\n')[2:]
  assert head.split() == ['input', 'x'.join(map(str, shape))]
  last = next(i for i, row in enumerate(rows) if row.startswith('---')) - 1
  assert rows[last].split()[2] == str(outputs)
  # The docstring says the same, where it says it.
  said = re.search(
    r'f32\[(\d+), (\d+), (\d+)\]', getattr(models, name, len).__doc__
  )
  assert not said or shape == tuple(map(int, said.groups()))


@pytest.mark.parametrize(
  'shape', ['28,28,1', '0,1', '28x28', ',', '9' * 5000, '4', '65536,1,1']
)
def test_a_wrong_shape_is_named(shape, usage):
  given = f'--shape={shape}'
  said = usage('--mode=summary', '--network=alexnet', given)
  assert '--shape=' in said and shape[:50] in said and len(said) < 400


def test_the_table():
  net = layers.serial(
    layers.conv(32, 3), layers.max_pool(2), layers.flatten(), layers.dense(10)
  )
  assert summary.table(net, (28, 28, 1)) == TABLE
