"""The settings of a run, the flags of the commands, and the errors of both.

This package imports no TensorFlow, no Keras and no matplotlib, so that a
command answers `--help` or a wrong flag at once. For the same reason the names
of the data sets, objectives, methods and metrics are listed here as text;
tests compare them with the registries.

`Config` is one frozen dataclass: a field is a flag and a line of config.json.
`resolve()` fills in the fields that depend on the model (rates, steps, image
size, objective) and returns a new Config. Resolving a resolved Config changes
nothing, and config.json and flags.txt of a run give the same Config.

`resolve()` refuses a value that is impossible, and a value that the chosen
objective, data set, schedule or model would not use. So no setting is
ignored in silence. Three places refuse a setting:

- `config/checks.py`, if the settings alone show the mistake;
- `runs/run_data.py` and `data`, if only the data show it;
- the constructor of a model or an objective, if only the network shows it.

Every refusal is a `UserError`: one line with the name, the value and what is
allowed. In Python the line names an argument (`shots=-1`); a command prints
the same line with the flag (`--shots=-1`) and ends with status 2. A
`StartAgain` ends work that the same command continues: one line, status 75.
"""

from atcon_tf.config.config import Config
from atcon_tf.config.errors import one_of
from atcon_tf.config.errors import StartAgain
from atcon_tf.config.errors import UserError
from atcon_tf.config.config_flags import define_flags
from atcon_tf.config.config_flags import from_flags
