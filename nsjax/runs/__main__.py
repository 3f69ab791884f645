"""Past runs: `python -m nsjax.runs list|show|compare`."""

import sys

from nsjax.runs.cli import main

sys.exit(main())
