"""What --help says: the experiments, or the flags of one.

Nothing heavy is imported: help answers at once.
"""

import textwrap
from collections.abc import Mapping
from typing import Any

from dlcore import config as configs


def overview(experiments: Mapping[str, str]) -> str:
  """Writes the help without an experiment: what there is to choose from.

  Args:
    experiments: name -> docstring.

  Returns:
    Text.
  """
  lines = ['usage: python launch.py --experiment=NAME [--flag=value ...]', '']
  for name, text in experiments.items():
    first = text.split('\n')[0]
    lines.append(f'  {name:16} {first}')
  lines += ['', 'python launch.py --experiment=NAME --help lists its flags.']
  return '\n'.join(lines)


def explain(text: str, config: Any, mode: str = '') -> str:
  """Writes the help of an experiment or a mode: docstring, then every flag.

  Args:
    text: of the experiment or the mode.
    config: its Config with the defaults.
    mode: its name; '' for an experiment.

  Returns:
    Text.
  """
  lines = [text.strip()]
  own = 'mode' if mode else 'experiment'
  for title, part in ((own, config), ('run', configs.Run())):
    lines += ['', f'Flags of the {title}:']
    defaults = configs.flatten(part)
    for field in configs.fields(part):
      if mode and mode not in field.metadata['only'].get('mode', (mode,)):
        continue
      default = defaults[field.name]
      text = field.metadata['help']
      if field.metadata['choices']:
        text += ' (' + ', '.join(field.metadata['choices']) + ')'
      for other, known in field.metadata['only'].items():
        if isinstance(known, dict):
          each = ', '.join(f'{k} {v:g}' for k, v in known.items())
          text += f'; default by --{other}: {each}'
      shown = f"'{default}'" if isinstance(default, str) else f'{default:g}'
      if isinstance(default, bool):
        shown = str(default).lower()
      head = f'  --{field.name}={shown}'
      body = textwrap.wrap(text, 60, break_long_words=False)
      lines.append(f'{head:28} {body[0]}' if len(head) < 28 else head)
      rest = body[1:] if len(head) < 28 else body
      lines += [' ' * 29 + line for line in rest]
  if mode:
    return '\n'.join(lines)
  lines += [
    '',
    'A float may be a list, --learning_rate=0.01,0.03: every combination is '
    'then run',
    'with every seed, all in one compiled program.',
  ]
  return '\n'.join(lines)
