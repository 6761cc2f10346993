"""Dataclasses of flags to the command line and back, with absl.

Nothing heavy is imported: help and errors answer at once. Every error is one
line that names the value and the fix, raised as `errors.UsageError`.
"""

import ast
import dataclasses
import difflib
import importlib
import math
import os
import pathlib
import types
import unicodedata
from typing import Any, NamedTuple

from absl import flags

import experiments
from dlcore import config as configs
from dlcore import manual, mode_flags
from dlcore.errors import UsageError

# What an i32 and an f32 on the device can hold.
LARGEST_INT, LARGEST_FLOAT = 2**31 - 1, 3.4e38
MOST_RUNS = 100_000
# Other words for a value, for the question 'did you mean'.
ALSO = {'siamese': 'contrastive', 'vae': 'variational'}


class Settings(NamedTuple):
  """What a command line asks for.

  Attributes:
    experiment: name of the file in `experiments/`, or of a mode that needs
      none, such as 'summary'.
    module: that file, imported; None for such a mode.
    config: its Config; of a swept float, the first value.
    run: the flags of `launch.py` itself.
    swept: the floats given as lists, name -> values.
    argv: the command line, flag files expanded.
    options: the flags of a mode that uses a trained run; else None.
    folders: what is given beside flags, where the mode takes any.
  """

  experiment: str
  module: Any
  config: Any
  run: configs.Run
  swept: dict[str, tuple[float, ...]]
  argv: list[str]
  options: Any = None
  folders: tuple[str, ...] = ()


class Help(Exception):
  """Asked for by --help; the message is the text."""


def names() -> list[str]:
  """Lists the experiments: the files of `experiments/`.

  Returns:
    Their names, sorted.
  """
  (folder,) = experiments.__path__
  return sorted(path.stem for path in pathlib.Path(folder).glob('[!_]*.py'))


def _docstring(name: str) -> str:
  """Reads an experiment's docstring without importing it."""
  (folder,) = experiments.__path__
  source = (pathlib.Path(folder) / f'{name}.py').read_text(encoding='utf-8')
  return ast.get_docstring(ast.parse(source)) or ''


def _suggest(value: str, known: list[str]) -> str:
  """Ends an error message: the nearest known name, or all of them."""
  close = difflib.get_close_matches(ALSO.get(value, value), known, n=1)
  return f"did you mean '{close[0]}'?" if close else 'try ' + ', '.join(known)


class Parser(flags.ArgumentParser):
  """Parses one field of a Config, by the type of its default."""

  def __init__(self, field: dataclasses.Field):
    """Keeps the field, whose metadata holds choices and range."""
    self.field = field
    self.kind: type = type(field.default)
    self.syntactic_help = ''

  def parse(self, argument: Any) -> Any:
    """Parses text; a value that is parsed already passes.

    Args:
      argument: text from the command line, or a default.

    Returns:
      int, str, or for a float field a tuple of floats.

    Raises:
      UsageError: naming the value and what would do.
    """
    if not isinstance(argument, str):
      return argument
    if self.kind is str:
      return self.choice(argument)
    parts = argument.split(',')
    if self.kind is int and len(parts) > 1:
      raise self.wrong(
        argument,
        'an int shapes the compiled program, so only floats can be swept: give '
        'one value',
      )
    if len(parts) > 1 and not all(part.strip() for part in parts):
      raise self.wrong(
        argument, 'a value is empty; write a list as 0.01,0.03, without spaces'
      )
    values = tuple(self.number(part.strip()) for part in parts)
    if len(set(values)) < len(values):
      raise self.wrong(argument, 'a value is listed twice')
    return values if self.kind is float else values[0]

  def choice(self, text: str) -> str:
    """Checks a string against the field's choices."""
    if any(unicodedata.category(c) in ('Cc', 'Cs') for c in text):
      raise self.wrong(text, 'holds a character that cannot be printed')
    known = self.field.metadata['choices']
    if known and text not in known:
      if ',' in text:
        raise self.wrong(
          text,
          'a str shapes the compiled program, so only floats can be swept: '
          'give one value',
        )
      raise self.wrong(text, _suggest(text, list(known)))
    return text

  def number(self, text: str) -> Any:
    """Parses one number and checks its range."""
    low, high = self.field.metadata['low'], self.field.metadata['high']
    try:
      value = self.kind(text)
    except ValueError:
      kind = 'a whole number' if self.kind is int else 'a number'
      raise self.wrong(text, f'not {kind}') from None
    infinite = abs(value) == math.inf
    if value != value or (infinite and high != math.inf):
      raise self.wrong(text, 'not a finite number')
    most = LARGEST_INT if self.kind is int else LARGEST_FLOAT
    if abs(value) > most and not infinite:
      least = -most if low is None else low
      raise self.wrong(text, f'must be between {least} and {most}')
    if (low is not None and value < low) or (high is not None and value > high):
      if high is None or math.isinf(high):
        allowed = f'at least {low:g}'
      else:
        allowed = f'between {low:g} and {high:g}'
      raise self.wrong(text, f'must be {allowed}')
    return value

  def wrong(self, text: str, why: str) -> UsageError:
    """Makes the error line of this flag."""
    return UsageError(f'--{self.field.name}={short(text)}: {why}')


def short(text: str) -> str:
  """Makes a value printable on one line of bounded length.

  Args:
    text: what someone typed.

  Returns:
    What a message can hold of it.
  """
  shown = text if text.isprintable() else ascii(text)[1:-1]
  return shown if len(shown) <= 60 else shown[:57] + '...'


def _define(config: Any, values: flags.FlagValues) -> None:
  """Defines a flag for every field of a config."""
  for field in configs.fields(config):
    default = configs.flatten(config)[field.name]
    meaning = field.metadata['help']
    if isinstance(field.default, bool):
      flags.DEFINE_bool(field.name, default, meaning, flag_values=values)
      continue
    if isinstance(field.default, float):
      default = (float(default),)
    flags.DEFINE(
      Parser(field), field.name, default, meaning, flag_values=values
    )


def _given(argv: list[str], name: str) -> str | None:
  """Finds a flag before any flag is defined; the last one counts."""
  found = None
  for i, argument in enumerate(argv):
    flag, equals, value = argument.partition('=')
    if flag in (f'--{name}', f'-{name}'):
      found = value if equals else ''.join(argv[i + 1 : i + 2])
  return found


def _expand(argv: list[str]) -> list[str]:
  """Puts the lines of flag files where --flagfile names them."""
  try:
    return flags.FlagValues().read_flags_from_files(argv, force_gnu=True)
  except (flags.Error, OSError, ValueError) as error:
    why = ' '.join(str(error).split()).removeprefix('ERROR:: ')
    raise UsageError(f'--flagfile: {why}') from None


def _trained(mode: str, workdir: str | None) -> list[str]:
  """Reads the flags a run was trained with from its folder."""
  if not workdir:
    raise UsageError(f'--mode={mode}: give the --workdir=DIR of a run')
  path = pathlib.Path(workdir) / 'flagfile'
  if not os.path.isfile(path):
    raise UsageError(
      f'--workdir={short(workdir)}: no run there; give the folder of one, or '
      'train with --mode=train'
    )
  return _expand([f'--flagfile={path}'])


def _wants_help(argv: list[str]) -> bool:
  """Tells whether --help is among the arguments."""
  return any(a in ('--help', '-help', '-h', '-?', '--helpfull') for a in argv)


def parse(argv: list[str]) -> Settings:
  """Turns a command line into settings.

  Args:
    argv: `sys.argv`, with the program's name.

  Returns:
    The settings.

  Raises:
    UsageError: one line for whatever is wrong.
    Help: where --help asks for it.
  """
  arguments = _expand(argv[1:])
  mode = _given(arguments, 'mode')
  if mode is not None:
    (field,) = (f for f in configs.fields(configs.Run()) if f.name == 'mode')
    Parser(field).parse(mode)
  if mode in mode_flags.TOOLS:
    tool = mode_flags.TOOLS[mode]()
    return settle(mode, None, tool, tool.__doc__ or '', arguments)
  if mode in mode_flags.USES:
    return _using(mode, arguments)
  if mode == 'evaluate' and not _wants_help(arguments):
    # A trained run knows its flags.
    known = _trained(mode, _given(arguments, 'workdir'))
    theirs, asked = (_given(a, 'experiment') for a in (known, arguments))
    if asked not in (None, theirs):
      raise UsageError(
        f'--experiment={short(asked)}: the folder holds a run of {theirs}'
      )
    arguments = known + arguments
  name = _given(arguments, 'experiment')
  if name is None:
    if _wants_help(arguments):
      every = {each: _docstring(each) for each in names()}
      raise Help(manual.overview(every))
    raise UsageError('give --experiment=NAME, one of ' + ', '.join(names()))
  if name not in names():
    raise UsageError(f'--experiment={short(name)}: {_suggest(name, names())}')
  module = importlib.import_module(f'experiments.{name}')
  text = _docstring(name)
  found = settle(name, module, module.Config(), text, arguments)
  if found.run.mode == 'evaluate':
    _refuse_other(settle(name, module, module.Config(), text, known), found)
  return found


def _using(mode: str, arguments: list[str]) -> Settings:
  """Parses the flags of a mode that uses a trained run, and that run's own."""
  text = mode_flags.USES[mode].__doc__ or ''
  asked = settle(mode, None, mode_flags.USES[mode](), text, arguments)
  known = _trained(mode, asked.run.workdir)
  name = _given(known, 'experiment') or ''
  if name not in names():
    raise UsageError(
      f'--workdir={short(asked.run.workdir)}: its flagfile names no experiment '
      f"known here, but '{short(name)}'"
    )
  module = importlib.import_module(f'experiments.{name}')
  trained = settle(name, module, module.Config(), '', known)
  run = dataclasses.replace(
    asked.run, seeds=trained.run.seeds, seed=trained.run.seed
  )
  return trained._replace(run=run, argv=arguments, options=asked.config)


def _refuse_other(trained: Settings, asked: Settings) -> None:
  """Refuses to evaluate a run with other flags than it was trained with."""
  before, now = (
    configs.flatten(s.config)
    | {'seeds': s.run.seeds, 'seed': s.run.seed}
    | s.swept
    for s in (trained, asked)
  )
  for name, value in now.items():
    if value != before[name] and name != 'data_dir':
      raise UsageError(
        f'--{name}={_typed(value)}: {short(asked.run.workdir)} holds a run '
        f'with --{name}={_typed(before[name])}; leave the flag out, or train '
        'in another folder'
      )


def _typed(value: Any) -> str:
  """Writes a value as it is typed, bounded in length."""
  listed = value if isinstance(value, tuple) else (value,)
  shown = [f'{v:.15g}' if isinstance(v, float) else str(v) for v in listed]
  return short(','.join(shown))


def settle(
  name: str,
  module: types.ModuleType | None,
  config: Any,
  text: str,
  arguments: list[str],
) -> Settings:
  """Parses the arguments once it is known which flags there are.

  Args:
    name: of the experiment, or of a mode that needs none.
    module: the experiment's file, or None.
    config: its Config with the defaults.
    text: what --help says above the flags.
    arguments: the command line without the program's name.

  Returns:
    The settings.

  Raises:
    UsageError: one line for whatever is wrong.
    Help: where --help asks for it.
  """
  values = flags.FlagValues()
  if module:
    flags.DEFINE_string('experiment', name, '', flag_values=values)
  _define(configs.Run(), values)
  _define(config, values)
  if _wants_help(arguments):
    raise Help(manual.explain(text, config, '' if module else name))
  for argument in arguments:
    # absl compares an unknown name with every flag, letter by letter.
    if argument.startswith('-') and len(argument.partition('=')[0]) > 99:
      raise UsageError(f"'{short(argument)}' is not a flag; see --help")
  try:
    rest = values(['launch.py', *arguments])[1:]
  except flags.UnrecognizedFlagError as error:
    raise _unknown_flag(name, error.flagname, list(values)) from None
  except flags.Error as error:
    why = ' '.join(str(error).split())[:160]
    if 'Non-boolean' in why:
      why = why.split(':')[0].removeprefix('flag ') + ': give true or false'
    raise UsageError(why) from None
  if rest and name not in mode_flags.FOLDERS:
    raise UsageError(
      f"'{short(rest[0])}' is not a flag: flags are --name=value"
    )
  swept = {}
  chosen = {}
  for field in configs.fields(config):
    value = values[field.name].value
    if not values[field.name].present:
      value = _own_default(field, values)
    if isinstance(value, tuple):
      if len(value) > 1:
        swept[field.name] = value
      value = value[0]
    chosen[field.name] = value
  run = configs.replace(
    configs.Run(),
    {f.name: values[f.name].value for f in configs.fields(configs.Run())},
  )
  configs.listed_epochs(run.snapshots)
  if run.seed + run.seeds - 1 > LARGEST_INT:
    raise UsageError(
      f'--seed={run.seed} --seeds={run.seeds}: the last seed is above '
      f'{LARGEST_INT}; lower one of them'
    )
  runs = run.seeds * math.prod(len(values) for values in swept.values())
  if runs > MOST_RUNS:
    raise UsageError(
      f'--seeds={run.seeds}: makes {runs:,} runs, at most {MOST_RUNS:,}; lower '
      'it or sweep fewer values'
    )
  # The flags of a trained run are as they are.
  checked = [] if run.mode == 'evaluate' else configs.fields(config)
  for field in configs.fields(run) + checked:
    found = values[field.name]
    why = configs.idle(field, chosen | configs.flatten(run))
    if why and found.value != found.default:
      raise UsageError(f'--{field.name}={_typed(found.value)}: {why}')
  config = configs.replace(config, chosen)
  return Settings(
    name, module, config, run, swept, arguments, folders=tuple(rest)
  )


def _own_default(field: dataclasses.Field, values: flags.FlagValues) -> Any:
  """Finds a default, which may go by the value of another flag."""
  for other, known in field.metadata['only'].items():
    if isinstance(known, dict) and values[other].value in known:
      return (known[values[other].value],)
  return values[field.name].value


def _unknown_flag(name: str, flag: str, known: list[str]) -> UsageError:
  """Says what an unknown flag may have meant, or which experiment has it."""
  for other in names():
    if other != name:
      config = importlib.import_module(f'experiments.{other}').Config()
      if flag in configs.flatten(config):
        return UsageError(
          f'--{short(flag)}: {name} has no such flag, {other} has: give '
          f'--experiment={other} or leave it out'
        )
  close = difflib.get_close_matches(flag, known, n=1)
  hint = f'did you mean --{close[0]}?' if close else 'see --help'
  return UsageError(f'--{short(flag)}: no such flag; {hint}')
